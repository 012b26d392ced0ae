"""How much of each device engines may hold, all together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import msgspec

from hostler.config.settings import MemorySettings

GIB = 2**30


class DeviceReading(msgspec.Struct, frozen=True):
    """A device now: its size, what is free on it, and what of the used part is ours (anonymous), in bytes."""

    total: int
    free: int
    ours: int


class Budget:
    """The budget per device, from the settings and from what is really free.

    A configured budget is a ceiling; what other programs hold and the reserve (the larger of 1 GiB and 8% of
    the device unless configured) is never ours either way. ``read`` gets the pids of our engines.
    """

    def __init__(self, settings: MemorySettings, read: Callable[[Iterable[int]], Mapping[str, DeviceReading]]) -> None:
        self._settings = settings
        self._read = read
        self.readings: Mapping[str, DeviceReading] = {}
        self.bytes: dict[str, int] = {}
        self.refresh(())

    def configure(self, settings: MemorySettings) -> None:
        """Take other settings from now on."""
        self._settings = settings
        self._allow()

    def refresh(self, engines: Iterable[int]) -> None:
        """Read the devices again; ``engines`` are the pids of ours (0.1 ms, and 0.3 ms for each of them)."""
        self.readings = self._read(engines)
        self._allow()

    def _allow(self) -> None:
        self.bytes = {device: self._allowed(device, reading) for device, reading in self.readings.items()}

    def _allowed(self, device: str, reading: DeviceReading) -> int:
        reserve = self._settings.reserve
        kept_free = max(GIB, reading.total * 8 // 100) if reserve is None else reserve
        foreign = max(0, reading.total - reading.free - reading.ours)
        allowed = max(0, reading.total - foreign - kept_free)
        ceiling = self._settings.budget.get(device)
        return allowed if ceiling is None else min(allowed, ceiling)
