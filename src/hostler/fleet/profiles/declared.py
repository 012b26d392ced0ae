"""What profiles declare to hold, against the machine: found before anything is loaded."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from msgspec.structs import replace

from hostler.config.quantities import format_bytes
from hostler.config.settings import Config
from hostler.fleet.memory import rooms_within
from hostler.fleet.profiles.programs import need_of
from hostler.hardware.facts import Machine
from hostler.placement.wish import Room


def unplaceable(config: Config, machine: Callable[[], Machine]) -> list[str]:
    """A line for each device that is not there, or can never hold what is declared, by its key.

    Pinned profiles are told of by :mod:`hostler.fleet.profiles.pinned`. ``machine`` is only looked at where something
    is declared. Blocking.
    """
    declared = {name: need_of(profile) for name, profile in config.profiles.items() if not profile.pin}
    if not any(declared.values()):
        return []
    found = machine()
    bare = replace(found, devices=tuple(replace(device, free=device.total) for device in found.devices))
    return [line for name, need in declared.items() for line in _beyond(name, need, rooms_within(bare, config.memory))]


def _beyond(name: str, need: Mapping[str, int], rooms: Mapping[str, Room]) -> Iterator[str]:
    for device, size in need.items():
        where = f"profiles.{name}.engine.memory.{device}"
        if (room := rooms.get(device)) is None:
            yield f"{where}: this machine has no such device, so that it can never be loaded; it has {', '.join(rooms)}"
        elif room.available < size:
            most = format_bytes(room.available)
            yield f"{where}: {format_bytes(size)} can never be had: engines may hold {most} there"
