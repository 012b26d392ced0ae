"""The machine: processor and memory."""

from __future__ import annotations

import platform
from collections.abc import Iterator

from hostler.cli.doctor.findings import Finding, Ground, ok, warn
from hostler.config.quantities import format_bytes
from hostler.hardware import host

CHECK = "machine"
SCARCE = 2**30
# What the embedded build's fast paths need; without them it runs, several times slower.
FAST = {"x86_64": "avx2", "aarch64": "asimddp"}


def check(_ground: Ground) -> Iterator[Finding]:
    """Processor and memory."""
    yield processor(host.cpu_facts(), platform.machine())
    yield memory(host.memory())


def processor(cpu: host.CpuFacts, architecture: str) -> Finding:
    """What it is, and whether it has the instructions that make inference fast."""
    flags = f" ({' '.join(cpu.flags)})" if cpu.flags else ""
    told = f"{cpu.model}, {cpu.cores} core{'' if cpu.cores == 1 else 's'}{flags}."
    wanted = FAST.get(architecture)
    if wanted and cpu.flags and wanted not in cpu.flags:
        return warn(CHECK, told, f"It lacks {wanted}: expect engines to be several times slower.")
    return ok(CHECK, told)


def memory(now: host.HostMemory) -> Finding:
    """How much is free; the smaller of the machine's and a container's."""
    told = f"{format_bytes(now.available)} of {format_bytes(now.total)} memory are free."
    if now.available < SCARCE:
        return warn(CHECK, told, "Only the smallest models will load; end what you do not need.")
    return ok(CHECK, told)
