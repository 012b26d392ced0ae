"""The structs of telemetry under ``/api/hardware``. What a machine is stands in :mod:`hostler.hardware.facts`."""

from __future__ import annotations

from typing import Literal

import msgspec


class Reading(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A device at one moment; None for what its driver does not tell.

    ``at`` is seconds since the Unix epoch, ``utilisation`` percent, ``used`` bytes. ``throttling`` says in
    words why the device runs slower than it could.
    """

    at: float
    utilisation: float | None = None
    used: int | None = None
    temperature_c: float | None = None
    power_w: float | None = None
    clock_mhz: float | None = None
    memory_clock_mhz: float | None = None
    throttling: tuple[str, ...] = ()


class History(msgspec.Struct, frozen=True, kw_only=True):
    """Columns of equal length, oldest first."""

    at: tuple[float, ...] = ()
    utilisation: tuple[float | None, ...] = ()
    used: tuple[int | None, ...] = ()
    temperature_c: tuple[float | None, ...] = ()
    power_w: tuple[float | None, ...] = ()
    clock_mhz: tuple[float | None, ...] = ()
    memory_clock_mhz: tuple[float | None, ...] = ()
    throttled: tuple[bool, ...] = ()


class DeviceMetrics(msgspec.Struct, frozen=True, kw_only=True):
    """``GET /api/hardware/gpu/metrics``: one device, its last reading and those before.

    ``present`` is false once a device that was there no longer answers; ``reason`` says what it said last.
    """

    device: str
    kind: Literal["nvidia", "amd", "apple", "host"]
    name: str
    total: int
    present: bool
    reason: str = ""
    now: Reading | None = None
    history: History = History()


class Metrics(msgspec.Struct, frozen=True, kw_only=True):
    """``GET /api/hardware/gpu/metrics``: every device, read every ``interval_s``, kept for ``kept_s``."""

    interval_s: float
    kept_s: float
    devices: tuple[DeviceMetrics, ...]
