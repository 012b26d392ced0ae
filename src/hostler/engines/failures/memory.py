"""Memory that an engine could not get: on which device, and how much it asked for, as its log says. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable

from hostler.engines.failures.causes import BY_ID
from hostler.errors import Shortage

_SIZE = re.compile(r"([\d.]+) Mi?B|(?:of size |allocate )(\d+)(?![\d.])|(\d+) bytes")
_PLACE = re.compile(r"on device (\d+)|allocate ([A-Za-z]+\d+) buffer")
_GPU = re.compile(r"cuda|hip|vulkan|metal|vk::|Device", re.IGNORECASE)
_HOST = re.compile(r"bad_alloc|aligned_malloc|mmap failed|mlock|cannot allocate memory|cpu|_Host buffer", re.IGNORECASE)


def shortage(lines: Iterable[str]) -> Shortage | None:
    """Which device lacked memory and how much was asked for at once; None when memory was not the cause."""
    telling = _telling(lines)
    if not telling:
        return None
    devices = filter(None, map(_device_name, telling))
    sizes = filter(None, map(_wanted, telling))
    return Shortage(next(devices, ""), next(sizes, 0))


def place(line: str) -> str:
    """Where the line says that memory lacked, for people."""
    if found := _PLACE.search(line):
        return f"device {found[1]}" if found[1] else found[2]
    return "the GPU" if _GPU.search(line) else "host"


def size(line: str) -> str:
    """How much the line says that it asked for: ``512 MiB of``, or ``enough``."""
    mib = _wanted(line) / 2**20
    if not mib:
        return "enough"
    return f"{mib / 1024:.1f} GiB of" if mib >= 1024 else f"{mib:.0f} MiB of"


def _telling(lines: Iterable[str]) -> list[str]:
    """The lines that say that memory could not be had."""
    pattern = BY_ID["out_of_memory"].log
    return [] if pattern is None else [line for line in lines if pattern.search(line)]


def _device_name(line: str) -> str:
    """The device as its buffers are called; "" when the line only says that it is a GPU's."""
    found = _PLACE.search(line)
    if found is None:
        return "host" if _HOST.search(line) else ""
    if found[2]:
        return found[2]
    return f"{'ROCm' if 'hip' in line.lower() else 'CUDA'}{found[1]}"


def _wanted(line: str) -> int:
    """Bytes that the line asks for; 0 when it does not say."""
    found = _SIZE.search(line)
    if found is None:
        return 0
    return int(float(found[1]) * 2**20) if found[1] else int(found[2] or found[3])
