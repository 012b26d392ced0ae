"""The machine: processor and memory."""

from __future__ import annotations

import platform
from collections.abc import Iterator

from hostler.cli.doctor.findings import Finding, Ground, ok, warn
from hostler.config.quantities import format_bytes

CHECK = "machine"
SCARCE = 1 * 2**30


def check(_ground: Ground) -> Iterator[Finding]:
    """Processor and memory."""
    import psutil

    cores = psutil.cpu_count(logical=False) or psutil.cpu_count() or 1
    yield ok(CHECK, f"{platform.machine()}, {cores} cores.")
    now = psutil.virtual_memory()
    told = f"{format_bytes(now.available)} of {format_bytes(now.total)} memory are free."
    if now.available < SCARCE:
        yield warn(CHECK, told, "Only the smallest models will load; end what you do not need.")
    else:
        yield ok(CHECK, told)
