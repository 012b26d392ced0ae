"""Pins that can never come true, found before anything is loaded: by the configuration and the machine alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from msgspec.structs import replace

from hostler.config.quantities import format_bytes
from hostler.config.settings import Config
from hostler.errors import HostlerError, NeverFits
from hostler.fleet.memory import rooms_within
from hostler.fleet.profiles.planning import Asked, Resident, less, wished
from hostler.fleet.profiles.programs import is_program, need_of
from hostler.hardware.facts import Machine
from hostler.placement.planner import plan
from hostler.placement.wish import Site

Look = Callable[[str], Asked | None]


def impossible(config: Config, look: Look, machine: Machine) -> list[str]:
    """One sentence for each pin in ``config`` that cannot hold on ``machine``, even with nothing else on it.

    ``look`` tells what a profile asks for, None where its model cannot be read. Blocking.
    """
    pinned = [name for name, profile in config.profiles.items() if profile.pin]
    return [*_excluded(config, pinned), *_crowded(config, pinned, look, machine)] if pinned else []


def _excluded(config: Config, pinned: Sequence[str]) -> Iterator[str]:
    for name in pinned:
        group = config.profiles[name].group
        if group not in config.groups or not config.groups[group].exclusive:
            continue
        others = [repr(each) for each, profile in config.profiles.items() if profile.group == group and each != name]
        if others:
            yield f"{name!r} is pinned and group {group!r} is exclusive, so that {_both(others)} can never be loaded"


def _crowded(config: Config, pinned: Sequence[str], look: Look, machine: Machine) -> Iterator[str]:
    """What fits in some order is possible: one that may lie anywhere may take the room of one that may not."""
    site = _empty(config, machine)
    alone = [found for name in pinned if (found := _first_without_room(config, [name], look, site))]
    for name, error in alone:
        yield f"{name!r} is pinned and can never be loaded: {_why(error)}"
    if alone:
        return
    told = [_first_without_room(config, order, look, site) for order in (pinned, pinned[::-1])]
    if all(told) and told[0] is not None:
        name, error = told[0]
        both = _both([repr(each) for each in pinned])
        yield f"{both} are pinned and can never all be loaded; beside the others, {name!r} has no room: {_why(error)}"


def _first_without_room(config: Config, names: Sequence[str], look: Look, site: Site) -> tuple[str, NeverFits] | None:
    held: list[Resident] = []
    for name in names:
        left = replace(site, rooms=less(site.rooms, held))
        try:
            held.append(Resident(profile=name, bytes=_need(config, name, look, left)))
        except NeverFits as error:
            return name, error
        except HostlerError:
            continue  # what is wrong with it is told elsewhere
    return None


def _need(config: Config, name: str, look: Look, site: Site) -> dict[str, int]:
    """Bytes per device beside what ``site`` has no room for any more. Raises NeverFits."""
    profile = config.profiles[name]
    if is_program(profile):
        return _declared(need_of(profile), site)
    asked = look(name)
    if asked is None or profile.placement == "manual":
        return {}
    return plan(asked.shape, wished(asked), site).need


def _declared(need: dict[str, int], site: Site) -> dict[str, int]:
    for device, size in need.items():
        room = site.rooms.get(device)
        if room is None or room.available < size:
            free = 0 if room is None else room.available
            raise NeverFits(f"It declares {format_bytes(size)} on {device}, where {format_bytes(free)} are left.")
    return need


def _empty(config: Config, machine: Machine) -> Site:
    """The machine with all its memory free and a build that can use every device."""
    bare = replace(machine, devices=tuple(replace(device, free=device.total) for device in machine.devices))
    names = {gpu.id: gpu.id for gpu in bare.gpus}
    return Site(machine=bare, rooms=rooms_within(bare, config.memory), usable=tuple(names), names=names)


def _why(error: NeverFits) -> str:
    return (error.message[:1].lower() + error.message[1:]).rstrip(".")


def _both(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
