"""The GPU of an Apple computer, from what ``sysctl``, ``ioreg`` and ``system_profiler`` print."""

from __future__ import annotations

import platform
import re
import subprocess
from collections.abc import Callable, Mapping

import msgspec

from hostler.hardware import known
from hostler.hardware.facts import Absence, Device

TIMEOUT_S = 15.0
MIB = 2**20
GIB = 2**30

# From this size on Metal recommends three quarters of memory to the GPU, below it two thirds (as llama.cpp logs it
# on Macs of 8 to 192 GiB; newer systems give large machines some more).
_GENEROUS_FROM = 36 * GIB

SYSCTL = (
    "hw.memsize",
    "machdep.cpu.brand_string",
    "hw.physicalcpu",
    "hw.perflevel0.physicalcpu",
    "hw.perflevel1.physicalcpu",
    "iogpu.wired_limit_mb",
)
COMMANDS: dict[str, tuple[str, ...]] = {
    "sysctl": ("/usr/sbin/sysctl", *SYSCTL),
    "ioreg": ("/usr/sbin/ioreg", "-r", "-d", "1", "-w", "0", "-c", "AGXAccelerator"),
    "system_profiler": ("/usr/sbin/system_profiler", "SPDisplaysDataType", "-json"),
}

Run = Callable[[tuple[str, ...]], str]


class Chip(msgspec.Struct, frozen=True, kw_only=True):
    """The cores of the processor, fast and slow ones."""

    performance_cores: int
    efficiency_cores: int


class _Screen(msgspec.Struct):
    name: str = msgspec.field(name="_name", default="")


class _Graphics(msgspec.Struct):
    model: str = msgspec.field(name="sppci_model", default="")
    cores: str = msgspec.field(name="sppci_cores", default="")
    screens: list[_Screen] = msgspec.field(name="spdisplays_ndrvs", default_factory=list)


class _Profile(msgspec.Struct):
    graphics: list[_Graphics] = msgspec.field(name="SPDisplaysDataType", default_factory=list)


def default_limit(memory: int) -> int:
    """Bytes that the GPU may wire of ``memory`` unless ``iogpu.wired_limit_mb`` says otherwise."""
    return memory * 3 // 4 if memory >= _GENEROUS_FROM else memory * 2 // 3


def run(command: tuple[str, ...]) -> str:
    """What the command prints; empty when it cannot be run or takes longer than 15 s."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=TIMEOUT_S, errors="replace")
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout


def probe(
    free: int, *, ours: int = 0, system: str = "", machine: str = "", run: Run = run
) -> tuple[list[Device], list[Absence]]:
    """The GPU, or why there is none. ``free`` is what of the host's memory is free, ``ours`` what engines of ours hold.

    Blocking: three short commands. ``system`` and ``machine`` are what ``platform`` says unless given.
    """
    if (system or platform.system()) != "Darwin":
        return [], [Absence("apple", "this is not a Mac")]
    if (machine or platform.machine()) != "arm64":
        return [], [Absence("apple", "Macs with Intel processors have no unified memory; engines run on the CPU")]
    told = sysctl(run(COMMANDS["sysctl"]))
    total = _number(told.get("hw.memsize"))
    if not total:
        return [], [Absence("apple", "sysctl did not say how much memory there is")]
    return [_device(told, total, min(free, total), ours, graphics(run(COMMANDS["system_profiler"])), run)], []


def _device(told: Mapping[str, str], total: int, free: int, ours: int, shown: _Graphics | None, run: Run) -> Device:
    name = told.get("machdep.cpu.brand_string") or (shown.model if shown else "") or "Apple GPU"
    cores = gpu_cores(run(COMMANDS["ioreg"])) or _number(shown.cores if shown else None) or None
    found = known.published(name, total, cores)
    wired = _number(told.get("iogpu.wired_limit_mb"))
    return Device(
        id="gpu0",
        kind="apple",
        name=name,
        total=total,
        free=free,
        foreign=max(0, total - free - ours),
        bandwidth=found.bandwidth if found else None,
        rates=found.rates if found else {},
        unified=True,
        limit=min(wired * MIB, total) if wired else default_limit(total),
        display=bool(shown and shown.screens),
        target="metal",
        cores=cores,
        sources={
            "total": "sysctl hw.memsize",
            "cores": "ioreg AGXAccelerator",
            "limit": "sysctl iogpu.wired_limit_mb" if wired else "Metal's default: 2/3 of memory, 3/4 from 36 GiB on",
        },
    )


def chip(told: Mapping[str, str]) -> Chip:
    """Fast and slow cores, from :func:`sysctl`; machines with one kind have no slow ones."""
    slow = _number(told.get("hw.perflevel1.physicalcpu"))
    fast = _number(told.get("hw.perflevel0.physicalcpu")) or _number(told.get("hw.physicalcpu")) or 1
    return Chip(performance_cores=fast, efficiency_cores=slow)


def sysctl(text: str) -> dict[str, str]:
    """``name: value`` lines; a name that this system does not know prints none."""
    pairs = (line.partition(":") for line in text.splitlines() if ":" in line)
    return {name.strip(): value.strip() for name, _, value in pairs}


def gpu_cores(text: str) -> int | None:
    """From ``ioreg``: the accelerator's ``gpu-core-count``."""
    match = re.search(r'"gpu-core-count"\s*=\s*(\d{1,5})\b', text)
    return int(match[1]) if match else None


def utilisation(text: str) -> tuple[float | None, int | None]:
    """From ``ioreg``: how busy the GPU is, in percent, and the bytes it uses."""
    busy = re.search(r'"Device Utilization %"\s*=\s*(\d{1,3})\b', text)
    used = re.search(r'"In use system memory"\s*=\s*(\d{1,19})\b', text)
    return (float(busy[1]) if busy else None), (int(used[1]) if used else None)


def graphics(text: str) -> _Graphics | None:
    """From ``system_profiler SPDisplaysDataType -json``: the first GPU; None when it says nothing usable."""
    try:
        return next(iter(msgspec.json.decode(text, type=_Profile).graphics), None)
    except msgspec.MsgspecError:
        return None


def _number(text: str | None) -> int:
    """0 for what is missing or no plain number below 2**63."""
    return int(text) if text and text.isdecimal() and len(text) < 19 else 0
