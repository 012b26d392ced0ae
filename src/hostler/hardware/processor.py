"""The host as a device: its memory, its cores, and what they could compute."""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path

from hostler.hardware import apple, host
from hostler.hardware.facts import HOST, Cpu, Device, Figure, NumaNode

# Operations on f32 per core and cycle: two multiply-add units of that width. An upper bound; chips that lower their
# clock or have one such unit reach half.
_PER_CYCLE = (("avx512f", 64), ("avx2", 32), ("asimd", 16))


def cpu(root: Path = Path("/")) -> Cpu:
    """The processor. Blocking: a few file reads; on macOS three short processes."""
    facts = host.cpu_facts()
    threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    slow = 0
    if platform.system() == "Darwin":
        slow = apple.chip(apple.sysctl(apple.run(apple.COMMANDS["sysctl"]))).efficiency_cores
    return Cpu(
        model=facts.model,
        cores=facts.cores,
        threads=threads,
        efficiency_cores=slow,
        flags=facts.flags,
        clock=clock(root),
    )


def clock(root: Path = Path("/")) -> Figure | None:
    """The highest clock of the first core; None where the system does not tell."""
    most = _text(root / "sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq").strip()
    if most.isdecimal() and int(most):
        return Figure(int(most) * 1e3, "cpufreq")
    match = re.search(r"^cpu MHz\s*:\s*(\d{2,5}(?:\.\d+)?)\s*$", _text(root / "proc/cpuinfo"), re.MULTILINE)
    return Figure(float(match[1]) * 1e6, "/proc/cpuinfo") if match else None


def rate(found: Cpu) -> Figure | None:
    """What the cores could compute in f32, estimated from clock and instruction sets."""
    per_cycle = next((count for flag, count in _PER_CYCLE if flag in found.flags), None)
    if per_cycle is None or found.clock is None:
        return None
    cores = found.cores - found.efficiency_cores
    told = f"estimated: {cores} cores x {found.clock.value / 1e9:.1f} GHz x {per_cycle}"
    return Figure(cores * found.clock.value * per_cycle, told)


def device(now: host.HostMemory, found: Cpu, ours: int = 0) -> Device:
    """The host; ``ours`` is what engines of ours hold of it, in bytes."""
    computed = rate(found)
    return Device(
        id=HOST,
        kind=HOST,
        name=found.model,
        total=now.total,
        free=now.available,
        foreign=max(0, now.total - now.available - ours),
        rates={"f32": computed} if computed else {},
        cores=found.cores,
        sources={"total": "the system; a container's limit where that is lower"},
    )


def numa(root: Path = Path("/")) -> tuple[NumaNode, ...]:
    """The memory nodes; empty where there is one, or the system does not tell."""
    nodes = []
    for folder in sorted((root / "sys/devices/system/node").glob("node*")):
        size = re.search(r"MemTotal:\s*(\d{1,15}) kB", _text(folder / "meminfo"))
        number = folder.name.removeprefix("node")
        if size and number.isdecimal():
            near = _counted(_text(folder / "cpulist"))
            nodes.append(NumaNode(id=int(number), threads=near, memory=int(size[1]) * 1024))
    return tuple(sorted(nodes, key=lambda node: node.id)) if len(nodes) > 1 else ()


def _counted(text: str) -> int:
    """How many numbers ``0-7,16-23`` names."""
    total = 0
    for part in text.strip().split(","):
        low, _, high = part.partition("-")
        if low.isdecimal() and (high or low).isdecimal():
            total += max(0, int(high or low) - int(low) + 1)
    return total


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace")
    except OSError:
        return ""
