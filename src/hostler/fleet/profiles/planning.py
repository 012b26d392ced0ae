"""Plans for profiles: on this machine as it is, and on it with nothing of ours loaded.

What a plan needs to know of the world comes by the callables of :class:`World`; the plan itself is pure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from hostler.config.diff import instance_key
from hostler.config.settings import LoadMode, Profile, Task
from hostler.engines.builds import Build
from hostler.engines.commands import placing
from hostler.engines.commands.command import CHECKPOINTS
from hostler.engines.commands.devicenames import engine_names
from hostler.errors import NeverFits
from hostler.fleet.recovery.ladder import NONE as UNCHANGED
from hostler.fleet.recovery.ladder import Changes
from hostler.hardware.facts import HOST, Cpu, Device, Machine
from hostler.models.facts import Model
from hostler.models.shape import ModelShape
from hostler.placement.corrections import NONE, Corrections
from hostler.placement.efficiency import PRIORS, Efficiencies
from hostler.placement.manual import Manual
from hostler.placement.plan import Plan
from hostler.placement.planner import full, plan, plan_beside
from hostler.placement.wish import Room, Site, Wish, rooms_of, wish_of

if TYPE_CHECKING:
    from hostler.wire.plan import PlanReport

# Listings plan anew when the room on a device has changed by about a 32nd of it.
GRAIN = 32
# A load leaves this part of the host's memory out.
RIPPLE = 256

_ENDLESS = 2**62
_ENDLESS_HOST = Site(
    machine=Machine(
        name="", devices=(Device(id=HOST, kind=HOST, name="", total=_ENDLESS, free=_ENDLESS),),
        cpu=Cpu(model="", cores=1, threads=1),
    ),
    rooms={HOST: Room(device=HOST, total=_ENDLESS, available=_ENDLESS)},
)  # fmt: skip


class Resident(msgspec.Struct, frozen=True, kw_only=True):
    """An instance that is or becomes ready: what it holds per device, and whether it may leave (now, or later).

    ``apart`` is its group where that is exclusive: it leaves before another of the group is loaded.
    """

    profile: str
    bytes: Mapping[str, int]
    pinned: bool = False
    idle: bool = True
    apart: str = ""


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """A profile to plan for, and what its model's header says; ``heads``: the sizes of one head's keys and values.

    ``draft`` is the model that drafts for it, ``images`` the size of a projector that is not on this disk, in bytes.
    """

    name: str
    profile: Profile
    task: Task
    model: Model
    shape: ModelShape
    heads: tuple[int, ...] = ()
    draft: ModelShape | None = None
    images: int | None = None


class World(msgspec.Struct, frozen=True, kw_only=True):
    """What plans are made from. The callables may block and are called from threads.

    ``machine`` gives devices and processor; ``rooms`` the room on each device as if nothing of ours were loaded, read
    anew when asked so; ``build`` what is known of the build of that name, None when nothing is (it then computes on
    the host). ``efficiencies`` and ``corrections`` are by the key of the build. ``loading`` tells another way to load a
    model's files than the usual one, and why, by the profile's name, the key of its build and the room on the host.
    ``changes`` are what an instance key was loaded with since it ran out of memory; ``environ`` is what engines
    inherit.
    """

    machine: Callable[[], Machine]
    rooms: Callable[[bool], Mapping[str, Room]]
    build: Callable[[str | None], Build | None] = lambda _: None
    residents: Callable[[], Iterable[Resident]] = tuple
    efficiencies: Callable[[Machine, str], Efficiencies] = lambda _machine, _build: PRIORS
    corrections: Callable[[ModelShape, str, Wish], Corrections] = lambda _shape, _build, _wish: NONE
    loading: Callable[[str, Model, str, int], tuple[LoadMode, str] | None] = lambda _name, _model, _build, _room: None
    changes: Callable[[str], Changes] = lambda _: UNCHANGED
    environ: Mapping[str, str] = {}


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """A plan to load by. Idle residents leave the devices in ``clears`` first; ``build`` is what it was made for.
    ``full`` is what a better one would take if all were gone who may leave; None when there is none."""

    plan: Plan
    clears: tuple[str, ...] = ()
    build: str = ""
    full: dict[str, int] | None = None


class _Ready(msgspec.Struct, frozen=True, kw_only=True):
    """A model, a wish and the site beside all residents; bytes per device of those that may leave: ``idle`` ones, and
    with those that are ``busy`` now."""

    shape: ModelShape
    wish: Wish
    site: Site
    idle: dict[str, Mapping[str, int]]
    busy: dict[str, Mapping[str, int]]

    def made(self) -> Plan:
        """The plan, as :meth:`Planning.load` says. Raises NeverFits."""
        try:
            return plan_beside(self.shape, self.wish, self.site, self.idle)
        except NeverFits:
            if self.busy == self.idle:
                raise
            return plan_beside(self.shape, self.wish, self.site, self.busy)

    def full(self, made: Plan) -> dict[str, int] | None:
        """As in :class:`Load`."""
        if not self.busy or (made.goes and self.busy == self.idle):
            return None
        better = full(self.shape, self.wish, self.site, made, self.busy)
        return None if better is None else better.need


class Alone(msgspec.Struct, frozen=True, kw_only=True):
    """What a profile takes when nothing else is loaded: bytes per device, tokens for one request.

    With ``refusal`` it fits nowhere; the bytes are then those on the host alone.
    """

    need: dict[str, int]
    context: int
    refusal: NeverFits | None = None


class _Kept(msgspec.Struct, frozen=True):
    """What listings show, and what it was made from."""

    key: str
    shape: ModelShape
    room: tuple[object, ...]
    alone: Alone


class Planning:
    """Makes plans for the catalogue. May be used from several threads."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._kept: dict[str, _Kept] = {}

    def load(self, asked: Asked, changes: Changes) -> Load:
        """How ``asked`` is to be loaded now, with ``changes`` since it ran out of memory.

        1. beside every resident. 2. with idle ones gone. 3. with busy ones gone too, which are waited for; never
        with pinned ones gone. Blocking. Raises NeverFits with numbers, FlagConflict or ConfigError for placing flags.
        """
        try:
            ready = self._ready(asked, changes)
            made = ready.made()
        except NeverFits as error:
            told = error.message[:1].lower() + error.message[1:]
            raise NeverFits(f"Profile {asked.name!r} fits nowhere: {told}", hint=error.hint) from None
        build = _key(self._world.build(asked.profile.engine.build))
        return Load(plan=made, clears=changes.cleared, build=build, full=ready.full(made))

    def rooms(self) -> Mapping[str, Room]:
        """The room on each device as if nothing of ours were loaded."""
        return self._world.rooms(False)

    def told(self, asked: Asked) -> PlanReport:
        """How ``asked`` would be loaded now, and what else could be done. Blocking; raises as :meth:`load` does."""
        from hostler.placement.alternatives import alternatives
        from hostler.placement.report import Subject, report

        changes, ready, made = self._as_loaded(asked)
        others = alternatives(asked.shape, ready.wish, ready.site, made)
        subject = Subject(profile=asked.name, model=asked.model.name, shape=asked.shape, size=asked.model.size)
        told = report(subject, ready.site.machine, made, others)
        return replace(told, notes=(*said(changes), *told.notes))

    def _as_loaded(self, asked: Asked) -> tuple[Changes, _Ready, Plan]:
        """With what is remembered of its loads, unless that was found with another build or cannot be planned now."""
        changes = self._world.changes(instance_key(asked.profile))
        if changes.steps and changes.build == _key(self._world.build(asked.profile.engine.build)):
            ready = self._ready(asked, changes)
            try:
                return changes, ready, ready.made()
            except NeverFits:
                pass  # the next load forgets them too
        ready = self._ready(asked, UNCHANGED)
        return UNCHANGED, ready, ready.made()

    def _ready(self, asked: Asked, changes: Changes) -> _Ready:
        """Everything that a load now is planned from. Raises FlagConflict or ConfigError for placing flags."""
        machine, rooms = self._world.machine(), self._world.rooms(True)
        others = [each for each in self._world.residents() if each.profile != asked.name]
        others = [each for each in others if not each.apart or each.pinned or each.apart != asked.profile.group]
        wish = self._loading(asked, wished(asked, changes), rooms)
        site = self._site(asked, wish, machine, rooms)
        wish = replace(wish, manual=self._check(asked, site))
        return _Ready(
            shape=asked.shape,
            wish=wish,
            site=replace(site, rooms=changes.rooms(_calm(less(site.rooms, others)))),
            idle={each.profile: each.bytes for each in others if each.idle and not each.pinned},
            busy={each.profile: each.bytes for each in others if not each.pinned},
        )

    def _loading(self, asked: Asked, wish: Wish, rooms: Mapping[str, Room]) -> Wish:
        """``wish`` with the load mode that was measured, where the profile leaves it open."""
        if wish.load_mode != "auto":
            return wish
        build = _key(self._world.build(asked.profile.engine.build))
        room = rooms[HOST].available if HOST in rooms else 0
        found = self._world.loading(asked.name, asked.model, build, room)
        return wish if found is None else replace(wish, load_mode=found[0], load_why=found[1])

    def empty(self, asked: Asked, *, again: bool = True) -> Alone:
        """How it would be loaded if nothing else were; kept until profile, model or (roughly) the room changes.

        Without ``again`` what was kept is good enough even if the room has changed. Raises FlagConflict or
        ConfigError.
        """
        key = instance_key(asked.profile)
        kept = self._kept.get(asked.name)
        known = kept if kept is not None and kept.key == key and kept.shape is asked.shape else None
        if known is not None and not again:
            return known.alone
        build = self._world.build(asked.profile.engine.build)
        rooms = {name: _coarse(room) for name, room in self._world.rooms(False).items()}
        room = (build, *((room.device, room.available) for room in rooms.values()))
        if known is not None and known.room == room:
            return known.alone
        made = self._made(asked, rooms)
        self._kept[asked.name] = _Kept(key, asked.shape, room, made)
        return made

    def _made(self, asked: Asked, rooms: Mapping[str, Room]) -> Alone:
        wish = wished(asked, UNCHANGED)
        site = self._site(asked, wish, self._world.machine(), rooms)
        wish = replace(wish, manual=self._check(asked, site))
        try:
            made = plan(asked.shape, wish, site)
        except NeverFits as error:
            least = replace(wish, context=_least_context(wish), placement="auto", manual=None)
            made = plan(asked.shape, least, _ENDLESS_HOST)
            return Alone(need=made.need, context=made.run.context, refusal=error)
        return Alone(need=made.need, context=made.run.context)

    def _check(self, asked: Asked, site: Site) -> Manual | None:
        return placing.check(ground_of(asked, site, self._world.build(asked.profile.engine.build)))

    def keep_only(self, names: Iterable[str]) -> None:
        """Forget the plans of all other profiles."""
        wanted = set(names)
        for name in [name for name in self._kept if name not in wanted]:
            self._kept.pop(name, None)

    def _site(self, asked: Asked, wish: Wish, machine: Machine, rooms: Mapping[str, Room]) -> Site:
        world, build = self._world, self._world.build(asked.profile.engine.build)
        key = _key(build)
        environ = {**world.environ, **asked.profile.engine.env}
        names = engine_names(machine, build.devices if build is not None else (), environ)
        return Site(
            machine=machine,
            rooms=dict(rooms),
            usable=tuple(names),
            names=names,
            efficiencies=world.efficiencies(machine, key),
            corrections=world.corrections(asked.shape, key, wish),
        )


def wished(asked: Asked, changes: Changes = UNCHANGED) -> Wish:
    """What the profile asks for, with ``changes`` since it ran out of memory."""
    profile = changes.profile(asked.profile)
    projector = _size(asked.model.projector) if asked.images is None else asked.images
    wish = wish_of(profile, asked.shape, task=asked.task, projector=projector, checkpoints=CHECKPOINTS)
    flash_attention = placing.flash_attention(profile.engine.extra_args)
    wish = replace(wish, flash_attention=flash_attention, draft=asked.draft)
    if wish.open_cache and not placing.quantisable(asked.heads):
        keys, values = wish.cache("f16")
        return replace(wish, cache_k=keys, cache_v=values)
    return wish


def said(changes: Changes) -> tuple[str, ...]:
    """That a plan is made with ``changes``, in a sentence; nothing without any."""
    if not changes.steps:
        return ()
    return (f"Otherwise than set: {'; '.join(changes.words)}. Forgotten when its settings or its build change.",)


def _least_context(wish: Wish) -> int:
    return wish.least_context if wish.context == "max" else wish.context


def this_machine() -> World:
    """This machine without anything of ours on it, inspected when it is first asked for."""
    seen: list[Machine] = []

    def machine() -> Machine:
        if not seen:
            from hostler.hardware.inspection import inspect

            seen.append(inspect())
        return seen[0]

    return World(machine=machine, rooms=lambda _: rooms_of(machine()))


def _key(build: Build | None) -> str:
    return "" if build is None else build.key


def ground_of(asked: Asked, site: Site, build: Build | None) -> placing.Ground:
    """What the placing flags of a profile are checked against."""
    return placing.Ground(
        profile=asked.name,
        settings=asked.profile,
        shape=asked.shape,
        names=site.names,
        present=[device.id for device in site.machine.gpus],
        build="" if build is None else build.title,
        heads=asked.heads,
    )


def less(rooms: Mapping[str, Room], residents: Sequence[Resident]) -> dict[str, Room]:
    """``rooms`` without what ``residents`` hold."""
    found: dict[str, Room] = {}
    for name, room in rooms.items():
        held = {each.profile: each.bytes[name] for each in residents if each.bytes.get(name)}
        found[name] = replace(room, available=max(0, room.available - sum(held.values())), residents=held)
    return found


def _calm(rooms: Mapping[str, Room]) -> dict[str, Room]:
    """``rooms`` without what the host's memory goes up and down by from a plan to its load."""
    room = rooms.get(HOST)
    if room is None or room.bounded:
        return dict(rooms)
    ripple = room.total // RIPPLE
    return {**rooms, HOST: replace(room, available=max(0, room.available - ripple), margin=room.margin + ripple)}


def _coarse(room: Room) -> Room:
    grain = max(room.total // GRAIN, 1)
    return replace(room, available=room.available // grain * grain)


def _size(file: Path | None) -> int:
    """Bytes; 0 without a file or when it has just gone, which the load itself will tell."""
    try:
        return 0 if file is None else file.stat().st_size
    except OSError:
        return 0
