"""Every profile that can be asked for: those in the config, and one for each model found on disk.

A snapshot (:class:`hostler.fleet.profiles.shelf.View`) is made in a thread and swapped in whole, so that looking a
name up on the request path is a few dictionary reads and never touches the disk, except once for the header of a model
that nobody has asked for before.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import anyio
import msgspec

from hostler.clock import Clock
from hostler.config.diff import instance_key
from hostler.config.presets.choosing import names as presets_of
from hostler.config.settings import Config, GroupSettings, Profile
from hostler.engines.commands.placing import draft_of
from hostler.engines.protocol import LoadSpec
from hostler.errors import ConfigError, HostlerError, ModelError, UnknownProfile
from hostler.fleet.learning.defects import UNKNOWN, Defect
from hostler.fleet.profiles.auto import Auto, entries_of
from hostler.fleet.profiles.planning import Alone, Asked, Planning, World, this_machine
from hostler.fleet.profiles.presets import Meanings
from hostler.fleet.profiles.programs import is_program, is_remote, need_of, spec_of, unplannable
from hostler.fleet.profiles.serving import Looked, family, served_as, task_of
from hostler.fleet.profiles.shelf import Item, view
from hostler.fleet.protocol import Entry, Needs, Served
from hostler.fleet.recovery.ladder import NONE as UNCHANGED
from hostler.fleet.recovery.ladder import Changes
from hostler.fleet.scheduling.messages import Want
from hostler.fleet.scheduling.rules import Terms
from hostler.models.facts import GgufFacts, Model
from hostler.models.library import FactsCache, Library, Scan
from hostler.models.shape import ModelShape
from hostler.placement.wish import DEFAULT_CONTEXT
from hostler.wire.plan import PlanReport

#: Wrong names that are asked for in a row do not keep the disk busy: it is left alone so many times as long as a scan
#: took, at most for so long.
REST = 3
PAUSE_S = 0.25
LISTING_S = 0.02  # of planning anew in one listing; what is not done by then keeps its plan until the next


class ProfileCatalogue:
    """See :class:`hostler.fleet.protocol.Catalogue`. Empty of models until the first :meth:`refresh`.

    ``world`` is what loads are planned on, by default this machine without anything of ours on it. ``resident`` tells
    the context of a profile's instance, None when it has none; ``sound`` the defects that its engine does not have.
    """

    def __init__(
        self,
        config: Config,
        library: Callable[[Config], Library],
        clock: Clock,
        recent: Callable[[], str | None],
        facts: FactsCache | None = None,
        world: World | None = None,
        resident: Callable[[str], int | None] = lambda _: None,
        sound: Callable[[str], frozenset[Defect]] = lambda _: UNKNOWN,
    ) -> None:
        self._library = library
        self._clock = clock
        self._recent = recent
        self._facts = facts or FactsCache()
        self._planning = Planning(world or this_machine())
        self._resident = resident
        self._sound = sound
        self._view = view(config, Scan((), ()))
        self._forget()
        self._scanned_at = self._rested_at = float("-inf")
        self._headers = False  # whether they were read
        self._scanning = anyio.Lock()

    @property
    def config(self) -> Config:
        """The configuration in force."""
        return self._view.config

    async def configure(self, config: Config) -> None:
        """Take another configuration, and look at the disk again for it."""
        async with self._scanning:
            await self._scan(config)
            await anyio.to_thread.run_sync(self._read_headers)

    async def open(self) -> None:
        """Find what there is, for the first time; headers are read later, so that this is quick."""
        async with self._scanning:
            await self._scan(self._view.config)

    async def refresh(self) -> None:
        asked = self._clock.monotonic()
        async with self._scanning:
            if self._scanned_at >= asked:
                return
            await anyio.sleep(max(0.0, self._rested_at - self._clock.monotonic()))
            before = self._view.scan
            await self._scan(self._view.config)
            if not self._headers or self._view.scan != before:
                await anyio.to_thread.run_sync(self._read_headers)
            now = self._clock.monotonic()
            self._rested_at = now + min(PAUSE_S, REST * (now - self._scanned_at))

    def _read_headers(self) -> None:
        """Read each header that is new and plan for it, here in a thread, so that listings wait for neither."""
        items = list(self._view.items.items())
        for name, item in items:
            looked = self._look(item.profile)
            if looked.problem is None:
                self._alone(name, item.profile, looked)
        self._planning.keep_only(name for name, _ in items)
        self._headers = True

    async def _scan(self, config: Config) -> None:
        began = self._clock.monotonic()
        library = self._library(config)
        scan = await anyio.to_thread.run_sync(library.scan)
        self._facts.keep_only(scan.models)
        self._view = view(config, scan)
        self._forget()
        self._scanned_at = began

    def _forget(self) -> None:
        """What was made of an earlier view."""
        self._meanings = Meanings(self._view.names, self._presets)
        self._served: dict[tuple[str, str], Served] = {}
        self._loaded: dict[tuple[str, str], Served] = {}  # as an instance has it

    def resolve(self, name: str | None) -> Served:
        profile, preset = (self._nameless(), "") if name is None else self._meanings.of(name)
        auto = self._view.autos.get(profile)
        return self._of(profile, preset) if auto is None else self._chosen(auto, preset)

    def _chosen(self, auto: Auto, preset: str) -> Served:
        """What an `auto` name means for a request that needs nothing in particular, and how to ask for more."""

        def served(profile: str) -> Served:
            return self._of(profile, preset if preset and preset in self._presets(profile) else "")

        def choose(needs: Needs) -> tuple[Served, ...]:
            return auto.chosen(needs, served, lambda profile: self._resident(profile) is not None)

        return msgspec.structs.replace(choose(Needs())[0], choose=choose)

    def _of(self, profile: str, preset: str) -> Served:
        key = profile, preset
        served = self._served.get(key)
        if served is None:
            served = self._served[key] = self._serve(profile, preset)
        real = self._resident(profile)
        if real is None:
            return served
        sound = self._sound(profile)
        if real == served.context and not sound:
            return served
        loaded = self._loaded.get(key)
        if loaded is None or loaded.context != real or loaded.sound is not sound:
            loaded = self._loaded[key] = msgspec.structs.replace(served, context=real, sound=sound)
        return loaded

    def _presets(self, name: str) -> tuple[str, ...]:
        """What a profile, or any of those that an `auto` name may mean, has; reads its header if nobody has."""
        auto = self._view.autos.get(name)
        if auto is not None:
            return tuple(dict.fromkeys(each for profile in auto.profiles for each in self._presets(profile)))
        profile = self._view.items[name].profile
        return presets_of(profile, family(profile, self._look(profile)))

    def _nameless(self) -> str:
        profile = self.default()
        if profile is None:
            raise UnknownProfile(
                "The request names no model and there is no default.",
                hint="Send `model`, or set `default` in `[gateway]`.",
            )
        return profile

    def default(self) -> str | None:
        view = self._view
        if view.config.gateway.default is not None:
            try:
                return view.names.resolve(view.config.gateway.default)
            except UnknownProfile:
                return self._recent()
        recent = self._recent()
        if recent in view.items:
            return recent
        return next(iter(view.items)) if len(view.items) == 1 else None

    def _serve(self, name: str, preset: str) -> Served:
        profile = self._view.items[name].profile
        looked = self._look(profile)
        context = self._context(name, profile, looked)
        served = served_as(name, profile, looked, preset, context=context, notes=self._notes(profile))
        fetch = profile.remote_images
        fetch = self._view.config.gateway.remote_images if fetch is None else fetch
        return msgspec.structs.replace(served, remote_images=fetch) if fetch else served

    def _notes(self, profile: Profile) -> bool:
        told = profile.send_loading_state
        return self._view.config.gateway.send_loading_state if told is None else told

    def _look(self, profile: Profile) -> Looked:
        """What the header says, or why it says nothing."""
        model = None
        if is_remote(profile):
            return Looked()
        try:
            model = self._library(self._view.config).find(profile.model, self._view.scan)
            if is_program(profile):
                return Looked(model)
            return Looked(model, self._facts.facts(model), self._facts.shape(model), self._draft(profile))
        except HostlerError as error:
            return Looked(model, problem=None if is_program(profile) else error)

    def _draft(self, profile: Profile) -> ModelShape | None:
        """The model that drafts for it, if its arguments name one. Raises ModelError."""
        path = draft_of(profile.engine.extra_args) if profile.engine.extra_args else None
        if path is None:
            return None
        return self._facts.shape(Model(name=path.name, files=(path,), size=0, origin="path"))

    def asked(self, name: str) -> Asked | None:
        """What a profile asks for; None where there is none of that name or its model cannot be read. Blocking."""
        item = self._view.items.get(name)
        return None if item is None else self._asked(name, item.profile, self._look(item.profile))

    def _asked(self, name: str, profile: Profile, looked: Looked) -> Asked | None:
        if looked.model is None or looked.facts is None or looked.shape is None:
            return None
        task = profile.task or task_of(looked.facts)
        return Asked(
            name=name,
            profile=profile,
            task=task,
            model=looked.model,
            shape=looked.shape,
            heads=(looked.facts.key_length, looked.facts.value_length),
            draft=looked.draft,
        )

    def _alone(self, name: str, profile: Profile, looked: Looked, *, again: bool = True) -> Alone | None:
        """What it takes when nothing else is loaded; None when its header or its flags do not let us tell."""
        asked = self._asked(name, profile, looked)
        try:
            return None if asked is None else self._planning.empty(asked, again=again)
        except HostlerError:
            return None

    def _context(self, name: str, profile: Profile, looked: Looked) -> int:
        """Tokens for one request: of its instance; else as set, and where that is as many as fit, what fits when
        nothing else is loaded."""
        if (real := self._resident(name)) is not None:
            return real
        if profile.context != "max":
            return context_of(profile, looked.facts)
        alone = self._alone(name, profile, looked, again=False)
        return context_of(profile, looked.facts) if alone is None else alone.context

    def files(self, name: str) -> tuple[Path, ...]:
        """The files of a profile's model; none of a name that means no model here. Looks at the disk."""
        item = self._view.items.get(name)
        model = None if item is None else self._look(item.profile).model
        return () if model is None else (*model.files, *([model.projector] if model.projector else []))

    def entries(self) -> list[Entry]:
        until = self._clock.monotonic() + LISTING_S
        found = [
            self._entry(name, item, again=self._clock.monotonic() < until) for name, item in self._view.items.items()
        ]
        return [*found, *entries_of(self._view.autos.values(), {entry.name: entry for entry in found})]

    def _entry(self, name: str, item: Item, *, again: bool) -> Entry:
        profile, looked = item.profile, self._look(item.profile)
        facts = looked.facts
        alone = self._alone(name, profile, looked, again=again)
        known = facts is not None or profile.context is not None
        return Entry(
            name=name,
            profile=profile,
            origin=item.origin,
            model=looked.model,
            facts=facts,
            task=profile.task or (task_of(facts) if facts else None),
            context=self._context(name, profile, looked) if known else None,
            need=need_of(profile) if alone is None else alone.need,
            problem=looked.problem,
        )

    def spec(self, name: str, changes: Changes = UNCHANGED) -> tuple[LoadSpec, Want]:
        """What it takes to run ``name`` now, with ``changes`` since it ran out of memory.

        Blocking. Raises UnknownProfile, ModelError, ConfigError, FlagConflict, and NeverFits before anything has to
        leave for it.
        """
        item = self._view.items.get(name)
        if item is None:
            raise UnknownProfile(f"Profile {name!r} was removed.")
        profile = item.profile
        looked = self._look(profile)
        if looked.problem is not None:
            raise looked.problem
        if is_program(profile):
            return spec_of(name, profile, looked.model, self._planning.rooms())
        asked = self._asked(name, profile, looked)
        if asked is None or looked.facts is None:
            raise ModelError(f"{profile.model} says nothing about itself.")
        if asked.task == "chat" and looked.facts.chat_template is None:
            raise ConfigError(
                f'Profile {name!r} has `task = "chat"`, but its model has no chat template.',
                hint='Set `task = "completion"`, or take an instruct model.',
            )
        load = self._planning.load(asked, changes)
        spec = LoadSpec(
            instance="",
            profile=name,
            model=asked.model,
            facts=looked.facts,
            task=asked.task,
            embeddings=profile.embeddings,
            context=load.plan.run.context,
            slots=load.plan.run.slots,
            engine=profile.engine,
            bytes=load.plan.need,
            plan=load.plan,
            build=load.build,
            rungs=profile.rungs,
        )
        want = Want(
            key=instance_key(profile),
            need=load.plan.need,
            slots=profile.slots,
            pin=profile.pin,
            ttl_s=profile.ttl,
            clears=load.clears,
            context=load.plan.run.context,
            full=load.full,
        )
        return spec, want

    def plan(self, name: str) -> PlanReport:
        """How ``name`` would be loaded now. Blocking; raises as :meth:`spec` does."""
        item = self._view.items.get(name)
        if item is None:
            raise UnknownProfile(f"Profile {name!r} was removed.")
        if is_program(item.profile):
            raise unplannable(name, item.profile)
        looked = self._look(item.profile)
        if looked.problem is not None:
            raise looked.problem
        asked = self._asked(name, item.profile, looked)
        if asked is None:
            raise ModelError(f"{item.profile.model} says nothing about itself.")
        return self._planning.told(asked)

    def wanted(self) -> dict[str, tuple[str, bool, float | None]]:
        """Key, pin and TTL of every profile there is."""
        return {n: (instance_key(i.profile), i.profile.pin, i.profile.ttl) for n, i in self._view.items.items()}

    def terms(self) -> dict[str, Terms]:
        """What the configuration says of each profile and the others, for those of which it says something."""
        return terms_of(self._view.config)

    def build(self, name: str) -> str | None:
        """The build that a profile names; None for the default one, and when there is no such profile."""
        item = self._view.items.get(name)
        return None if item is None else item.profile.engine.build

    def has_build(self, name: str) -> bool:
        """Whether one of our builds runs it."""
        item = self._view.items.get(name)
        return item is None or not is_program(item.profile)

    def key(self, name: str) -> str:
        """The instance key of a profile; empty when there is no such profile."""
        item = self._view.items.get(name)
        return "" if item is None else instance_key(item.profile)


def terms_of(config: Config) -> dict[str, Terms]:
    """The terms of every configured profile that is not as all others are."""
    terms: dict[str, Terms] = {}
    for name, profile in config.profiles.items():
        rule = config.groups.get(profile.group, GroupSettings())
        batch = profile.priority == "batch"
        if rule.exclusive or rule.together or batch:
            terms[name] = Terms(group=profile.group, exclusive=rule.exclusive, together=rule.together, batch=batch)
    return terms


def context_of(profile: Profile, facts: GgufFacts | None) -> int:
    """Tokens for one request: as configured, else what the model was trained for, at most 8192."""
    if isinstance(profile.context, int):
        return profile.context
    return min(DEFAULT_CONTEXT, facts.context_length) if facts is not None else DEFAULT_CONTEXT
