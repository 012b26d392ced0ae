"""The machine's own memory and processor."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path

import msgspec
import psutil

_INTERESTING = ("sse4_2", "avx", "avx2", "avx512f", "avx512_bf16", "avx512_vnni", "avx_vnni", "amx_int8", "amx_bf16",
                "f16c", "fma", "bmi2", "asimd", "asimddp", "i8mm", "sve", "bf16")  # fmt: skip
# cgroup v1 writes "no limit" as the largest page-aligned number.
_NO_LIMIT = 2**60


class HostMemory(msgspec.Struct, frozen=True):
    """Bytes this process may use in all and could get now; a container's limit counts when it is lower."""

    total: int
    available: int


class CpuFacts(msgspec.Struct, frozen=True):
    """``flags`` are those of the instruction sets that inference uses, as the system names them."""

    model: str
    cores: int
    flags: tuple[str, ...]


def memory(root: Path = Path("/")) -> HostMemory:
    """The memory of this machine or, where that is less, of the container; a few file reads.

    ``root`` is where /proc and /sys/fs/cgroup are looked for.
    """
    whole = psutil.virtual_memory()
    total, available = whole.total, whole.available
    for limit, used in _limits(root):
        total = min(total, limit)
        available = min(available, max(limit - used, 0))
    return HostMemory(total, available)


def memory_kills(root: Path = Path("/")) -> int | None:
    """How many processes the kernel has ended for want of memory since it started; None where it does not say."""
    try:
        text = (root / "proc/vmstat").read_text()
    except OSError:
        return None
    counted = dict(line.split(maxsplit=1) for line in text.splitlines() if " " in line)
    number = counted.get("oom_kill", "")
    return int(number) if number.isdecimal() else None


def _limits(root: Path) -> list[tuple[int, int]]:
    """(limit, used) of every memory cgroup that this process is in; page cache does not count as used."""
    found = []
    for folder in _memory_groups(root):
        limit = _number(folder / "memory.max", folder / "memory.limit_in_bytes")
        used = _number(folder / "memory.current", folder / "memory.usage_in_bytes")
        if limit is not None and used is not None and limit < _NO_LIMIT:
            found.append((limit, max(used - _reclaimable(folder), 0)))
    return found


def _memory_groups(root: Path) -> list[Path]:
    """The folders of this process's memory cgroup and all above it, v2 and v1."""
    base = root / "sys/fs/cgroup"
    folders: dict[Path, None] = {base: None, base / "memory": None}
    for line in _text(root / "proc/self/cgroup").splitlines():
        controllers, _, path = line.partition(":")[2].partition(":")
        if controllers and "memory" not in controllers.split(","):
            continue
        folder = base / "memory" if controllers else base
        for part in Path(path.lstrip("/")).parts:
            if part == "..":
                break
            folder = folder / part
            folders[folder] = None
    return list(folders)


def _reclaimable(folder: Path) -> int:
    for line in _text(folder / "memory.stat").splitlines():
        name, _, value = line.partition(" ")
        if name in ("inactive_file", "total_inactive_file"):
            return int(value) if value.isdigit() else 0
    return 0


def _number(*paths: Path) -> int | None:
    for path in paths:
        text = _text(path).strip()
        if text.isdigit():
            return int(text)
    return None


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError):
        return ""


def physical_cores() -> int:
    """Cores that this process may use, hyper-threads counted once; at least 1."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(psutil.cpu_count(logical=False) or usable, usable))


def cpu_facts() -> CpuFacts:
    """What processor this is. Blocking (a file read; on macOS two short processes)."""
    if platform.system() == "Darwin":
        model = _sysctl("machdep.cpu.brand_string")
        flags = _sysctl("machdep.cpu.features", "machdep.cpu.leaf7_features").lower().split()
        return CpuFacts(model or platform.machine(), physical_cores(), _chosen(flags))
    fields = _cpuinfo(_text(Path("/proc/cpuinfo")))
    flags = (fields.get("flags") or fields.get("features", "")).lower().split()
    return CpuFacts(fields.get("model name") or platform.machine(), physical_cores(), _chosen(flags))


def _chosen(flags: list[str]) -> tuple[str, ...]:
    return tuple(flag for flag in _INTERESTING if flag in flags)


def _cpuinfo(text: str) -> dict[str, str]:
    """The fields of the first processor."""
    fields: dict[str, str] = {}
    for line in text.split("\n\n", 1)[0].splitlines():
        name, _, value = line.partition(":")
        fields[name.strip().lower()] = value.strip()
    return fields


def _sysctl(*names: str) -> str:
    values = []
    for name in names:
        done = subprocess.run(["/usr/sbin/sysctl", "-n", name], capture_output=True, text=True, check=False, timeout=5)
        values.append(done.stdout.strip())
    return " ".join(values).strip()
