"""Where `hostler plan` plans: a described machine with nothing on it, or this one with what is resident now."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from hostler.config.diff import instance_key
from hostler.config.settings import Config, Profile
from hostler.errors import HostlerError
from hostler.fleet.recovery.ladder import NONE as UNCHANGED
from hostler.fleet.recovery.ladder import Changes
from hostler.hardware.facts import Machine
from hostler.models.shape import ModelShape
from hostler.placement.corrections import NONE, Corrections
from hostler.placement.wish import Room, Site, Wish, rooms_of

if TYPE_CHECKING:
    from hostler.engines.builds import Build
    from hostler.fleet.learning.experience import Experience
    from hostler.wire.management import Instance

THIS = "this"
ANSWER_S = 0.5

#: Bytes per device by profile.
Held = Mapping[str, Mapping[str, int]]


class Where(msgspec.Struct, frozen=True, kw_only=True):
    """A site, the residents that may leave it (bytes per device by profile), and what is odd about it, in words.

    ``build`` is what is known of the build, ``corrections`` are what earlier loads of such a model taught. ``changes``
    are what a profile was loaded with since it ran out of memory.
    """

    site: Site
    leaving: dict[str, dict[str, int]] = {}
    notes: tuple[str, ...] = ()
    build: Build | None = None
    corrections: Callable[[ModelShape, Wish], Corrections] = lambda _shape, _wish: NONE
    changes: Callable[[Profile], Changes] = lambda _: UNCHANGED

    def at(self, shape: ModelShape, wish: Wish) -> Site:
        """The site for a plan of that model and wish."""
        return msgspec.structs.replace(self.site, corrections=self.corrections(shape, wish))


def described(machine: Machine) -> Where:
    """A machine from a file: a build that can use every device, and nothing resident."""
    names = _usual_names(machine)
    return Where(site=Site(machine=machine, rooms=rooms_of(machine), usable=tuple(names), names=names))


def this(config: Config, config_file: Path | None, build: str | None = None, profile: str = "") -> Where:
    """This machine now. ``build`` is the one that the profile names; ``profile`` itself makes room for itself."""
    from hostler.config import paths
    from hostler.engines.speed.efficiencies import learnt
    from hostler.fleet.learning.experience import Experience
    from hostler.hardware.inspection import inspect

    home = paths.home(os.environ, config_file)
    residents, told = _residents(config_file)
    ours = [each.pid for each in residents if each.pid is not None]
    machine = inspect(home.cache, ours)
    known, wrong = _build(config_file, build)
    names, dark = _names(machine, known)
    key = known.key if known else ""
    experience = Experience(home.state)
    residuals = experience.residuals
    others = [each for each in residents if each.profile != profile]
    held = {each.profile: each.bytes or each.predicted_bytes for each in others}
    mine = {each.profile: each.bytes or each.predicted_bytes for each in residents if each.profile == profile}
    rooms = rooms_of(
        machine,
        {device: int(size) for device, size in config.memory.margin.items()},
        None if config.memory.reserve is None else int(config.memory.reserve),
    )
    return Where(
        site=Site(
            machine=machine,
            rooms={name: _beside(room, held, mine, machine, config) for name, room in rooms.items()},
            usable=tuple(names),
            names=names,
            efficiencies=learnt(home.cache, machine.fingerprint, key),
        ),
        build=known,
        corrections=lambda shape, wish: residuals.corrections(shape, key, wish),
        changes=lambda profile: _changes(experience, profile, key),
        leaving={each.profile: held[each.profile] for each in others if not each.pinned and not each.leases},
        notes=(*told, *wrong, *dark),
    )


def _changes(experience: Experience, profile: Profile, build: str) -> Changes:
    """What was found with another build is forgotten at the next load."""
    changes = experience.retries.of(instance_key(profile))
    return changes if changes.build == build else UNCHANGED


def _beside(room: Room, held: Held, mine: Held, machine: Machine, config: Config) -> Room:
    """The room with our own engines counted as residents (``held``) or not at all, not as other programs'."""
    device = machine.device(room.device)
    residents = {name: by[room.device] for name, by in held.items() if by.get(room.device)}
    ours = sum(residents.values()) + sum(by.get(room.device, 0) for by in mine.values())
    foreign = max(0, room.foreign - ours)
    if device is not None and device.foreign is not None and not device.unified:
        foreign = device.foreign
    available = max(0, room.total - foreign - room.margin)
    ceiling = config.memory.budget.get(room.device)
    if ceiling is not None:
        available = min(available, int(ceiling))
    available = max(0, available - sum(residents.values()))
    return msgspec.structs.replace(room, foreign=foreign, residents=residents, available=available)


def _build(config_file: Path | None, name: str | None) -> tuple[Build | None, tuple[str, ...]]:
    """What is known of the build without asking it, and what is odd about it."""
    from hostler.cli.active_build import known_builds

    try:
        return known_builds(config_file).remembered(name), ()
    except HostlerError as error:
        return None, (str(error),)


def _names(machine: Machine, build: Build | None) -> tuple[dict[str, str], tuple[str, ...]]:
    """What the build calls the GPUs that it can use, by its own list; and a sentence where it leaves them dark."""
    if not machine.gpus:
        return {}, ()
    from hostler.engines.capabilities import MEND, left_dark
    from hostler.engines.commands.devicenames import engine_names

    if build is None:
        return _usual_names(machine), ("The build was never asked which GPUs it can use; all are assumed.",)
    dark = left_dark(build, machine.devices)
    return engine_names(machine, build.devices, os.environ), ((f"{dark} {MEND}",) if dark else ())


def _usual_names(machine: Machine) -> dict[str, str]:
    """What a build for these GPUs calls them."""
    from hostler.placement.flags import engine_name

    unnamed = Site(machine=machine, rooms={})
    return {device.id: engine_name(device.id, unnamed) for device in machine.gpus}


def _residents(config_file: Path | None) -> tuple[list[Instance], tuple[str, ...]]:
    """What this home's gateway keeps loaded; nothing when none runs."""
    from hostler.cli.whereabouts import state_folder
    from hostler.client.locate import read_record

    record = read_record(state_folder(config_file))
    if record is None:
        return [], ()
    found = _instances(record.url)
    if found is None:
        return [], ("The gateway did not tell what is resident; that memory counts as other programs'.",)
    return found, ()


def _instances(url: str) -> list[Instance] | None:
    """Asked without the client: importing what that needs costs more than everything else here."""
    import http.client
    from contextlib import closing
    from urllib.parse import urlsplit

    from hostler.wire.management import Instance

    key, address = os.environ.get("HOSTLER_KEY"), urlsplit(url)
    try:
        with closing(http.client.HTTPConnection(address.hostname or "", address.port, timeout=ANSWER_S)) as connection:
            connection.request("GET", "/api/instances", headers={"authorization": f"Bearer {key}"} if key else {})
            return msgspec.json.decode(connection.getresponse().read(), type=list[Instance])
    except (OSError, ValueError, http.client.HTTPException, msgspec.DecodeError):
        return None
