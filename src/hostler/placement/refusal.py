"""Why nothing fits, with numbers, and what would help."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec.structs import replace

from hostler.config.quantities import format_bytes
from hostler.errors import NeverFits
from hostler.hardware.facts import Kind
from hostler.models.shape import ModelShape
from hostler.placement.bytes import Classes, bytes_of
from hostler.placement.layout import HOST, Run, whole
from hostler.placement.manual import layout_of
from hostler.placement.wish import Room, Site, Wish

SHORTEST = 256  # tokens; llama.cpp rounds up to so many


def refusal(shape: ModelShape, wish: Wish, site: Site, run: Run) -> NeverFits:
    """The error for a wish that no layout of ``site`` can meet; ``run`` is the smallest that was tried."""
    kinds: dict[str, Kind] = {device.id: device.kind for device in site.machine.devices}
    if wish.manual is not None:
        room = {device: each.available for device, each in site.rooms.items()}
        return _by_hand(bytes_of(shape, run, layout_of(wish.manual, shape, site.usable, room), kinds), site)
    held = bytes_of(shape, run, whole(shape, HOST), kinds, site.corrections)[HOST]
    rooms = [room for device, room in site.rooms.items() if device in (*site.usable, HOST)]
    parts = {"weights": held.weights + held.mapped, "cache": held.kv + held.recurrent}
    parts["the rest"] = held.total - sum(parts.values())
    told = ", ".join(f"{format_bytes(size)} {name}" for name, size in parts.items() if size)
    return NeverFits(
        f"It needs about {format_bytes(held.total)} ({told}), and there is {_there(rooms)}.",
        hint=_hint(wish, _least(shape, run, site, kinds), _most(site, rooms)),
    )


def _by_hand(held: Mapping[str, Classes], site: Site) -> NeverFits:
    """What the profile's own flags put where it does not fit."""
    over = [
        f"{format_bytes(each.total)} on {device}, where {format_bytes(site.rooms[device].available)} may be used"
        for device, each in held.items()
        if each.total > site.rooms[device].available
    ]
    return NeverFits(
        f"Its flags put about {'; '.join(over) or 'more on the host than there is'}.",
        hint='Change them, or remove them and `placement = "manual"`.',
    )


def _there(rooms: list[Room]) -> str:
    return ", ".join(f"{format_bytes(room.available)} on {room.device}{_taken(room)}" for room in rooms)


def _taken(room: Room) -> str:
    taken = [f"{format_bytes(size)} by {name!r}" for name, size in room.residents.items() if size]
    if room.bounded:
        return f" (of what `memory.budget` allows, less {', '.join(taken)})" if taken else " (by `memory.budget`)"
    if room.foreign:
        taken.append(f"{format_bytes(room.foreign)} by other programs")
    if room.margin:
        taken.append(f"{format_bytes(room.margin)} kept free")
    return f" ({format_bytes(room.total)} less {', '.join(taken)})" if taken else ""


def _most(site: Site, rooms: list[Room]) -> int:
    """All that is there; memory that GPUs share with the host counts once."""
    shared = {device.id for device in site.machine.devices if device.unified}
    return sum(room.available for room in rooms if room.device not in shared)


def _least(shape: ModelShape, run: Run, site: Site, kinds: Mapping[str, Kind]) -> int:
    """What it would need with next to no context, which takes scratch memory beside the cache."""
    short = replace(run, context=min(run.context, SHORTEST), slots=1)
    return bytes_of(shape, short, whole(shape, HOST), kinds, site.corrections)[HOST].total


def _hint(wish: Wish, least: int, most: int) -> str:
    if least > most:
        return "Take a smaller quantisation or a smaller model; no context is small enough."
    fewer = "fewer `slots`, " if wish.slots > 1 else ""
    coarser = '`kv = "auto"` or ' if not wish.open_cache and wish.cache_k == "f16" else ""
    if wish.context == "max":
        return f'Set {fewer}{coarser}a `context` below {wish.least_context}; "max" takes no less.'
    return f'Set {fewer}{coarser}a smaller `context`, or `context = "max"` for what fits.'
