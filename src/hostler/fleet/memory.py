"""How much of each device engines may hold, all together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from msgspec.structs import replace

from hostler.config.settings import MemorySettings
from hostler.hardware.facts import HOST, Cpu, Device, Machine
from hostler.hardware.occupancy import DeviceReading
from hostler.placement.wish import Room, rooms_of

__all__ = ["Budget", "DeviceReading"]

# Rooms depend on devices alone.
_CPU = Cpu(model="", cores=1, threads=1)


class Budget:
    """The budget per device, from the settings and from what is really free.

    A configured budget is a ceiling; what other programs hold and what is kept free (the reserve of the host, the
    margin of a GPU) is never ours either way; ``slack`` is how much of that engines may come to hold after all.
    ``read`` gets the pids of our engines. Blocking for about a
    millisecond; safe to refresh in a thread.
    """

    def __init__(self, settings: MemorySettings, read: Callable[[Iterable[int]], Mapping[str, DeviceReading]]) -> None:
        self._settings = settings
        self._read = read
        self.readings: Mapping[str, DeviceReading] = {}
        self.rooms: dict[str, Room] = {}
        self.bytes: dict[str, int] = {}
        self.slack: dict[str, int] = {}
        self._held: Mapping[str, int] = {}
        self._telling: set[str] = set()
        self.refresh(())

    @property
    def spare(self) -> int:
        """Bytes of main memory that are free beyond what is kept free."""
        reading, room = self.readings.get(HOST), self.rooms.get(HOST)
        return 0 if reading is None or room is None else max(0, reading.free - room.margin)

    def configure(self, settings: MemorySettings) -> None:
        """Take other settings from now on."""
        self._settings = settings
        self._allow()

    def refresh(self, engines: Iterable[int], held: Mapping[str, int] | None = None) -> None:
        """Read the devices again; ``engines`` are the pids of ours (0.1 ms, and 0.3 ms for each of them).

        ``held`` is what the fleet believes that they hold per device, for drivers that do not say: some say nothing,
        and in a container some know our engines by other numbers and say 0.
        """
        self.readings = self._read(engines)
        self._held = held or {}
        self._telling |= {name for name, reading in self.readings.items() if reading.ours}
        self._allow()

    def _allow(self) -> None:
        devices = tuple(_empty(name, reading, self._ours(name, reading)) for name, reading in self.readings.items())
        self.rooms = rooms_within(Machine(name="", devices=devices, cpu=_CPU), self._settings)
        self.bytes = {name: room.available for name, room in self.rooms.items()}
        self.slack = {name: room.margin // 2 for name, room in self.rooms.items()}

    def _ours(self, name: str, reading: DeviceReading) -> int:
        if reading.ours is not None and name in self._telling:
            return reading.ours
        return self._held.get(name, 0)


def rooms_within(machine: Machine, settings: MemorySettings) -> dict[str, Room]:
    """The room on each device of ``machine`` that engines may hold."""
    margins = {device: int(size) for device, size in settings.margin.items()}
    reserve = None if settings.reserve is None else int(settings.reserve)
    found = rooms_of(machine, margins, reserve)
    return {name: _below(room, settings.budget.get(name)) for name, room in found.items()}


def _below(room: Room, ceiling: int | None) -> Room:
    return room if ceiling is None else replace(room, available=min(room.available, int(ceiling)))


def _empty(name: str, reading: DeviceReading, ours: int) -> Device:
    """The device as if nothing of ours were on it."""
    free = min(reading.total, reading.free + ours)
    if reading.device is not None:
        return replace(reading.device, total=reading.total, free=free)
    return Device(id=name, kind=HOST, name=name, total=reading.total, free=free)
