"""Every profile that can be asked for: those in the config, and one for each model found on disk.

A snapshot (:class:`_View`) is made in a thread and swapped in whole, so that looking a name up on the request
path is a few dictionary reads and never touches the disk, except once for the header of a model that nobody
has asked for before.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import anyio
import msgspec

from hostler.clock import Clock
from hostler.config.diff import instance_key
from hostler.config.names import Names
from hostler.config.settings import Config, Profile, Task
from hostler.engines.command import CHECKPOINTS
from hostler.engines.protocol import LoadSpec
from hostler.errors import ConfigError, HostlerError, ModelError, UnknownProfile
from hostler.fleet.messages import Want
from hostler.fleet.protocol import Entry, Served
from hostler.models.facts import GgufFacts, Model
from hostler.models.library import FactsCache, Library, Scan
from hostler.placement.hostonly import Need, estimate

PAUSE_S = 0.25  # from one scan to the next, so that wrong names asked for in a row do not keep the disk busy
DEFAULT_CONTEXT = 8192
DEFAULT_UBATCH = 512  # an engine is given at most this, so its compute buffer is at most as large


class _Item(msgspec.Struct, frozen=True):
    profile: Profile
    origin: str


class _View(msgspec.Struct, frozen=True):
    config: Config
    scan: Scan
    items: dict[str, _Item]
    names: Names


class ProfileCatalogue:
    """See :class:`hostler.fleet.protocol.Catalogue`. Empty of models until the first :meth:`refresh`."""

    def __init__(
        self,
        config: Config,
        library: Callable[[Config], Library],
        clock: Clock,
        recent: Callable[[], str | None],
        facts: FactsCache | None = None,
    ) -> None:
        self._library = library
        self._clock = clock
        self._recent = recent
        self._facts = facts or FactsCache()
        self._view = _view(config, Scan((), ()))
        self._served: dict[str, Served] = {}
        self._scanned_at = float("-inf")
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
            await anyio.sleep(max(0.0, self._scanned_at + PAUSE_S - self._clock.monotonic()))
            await self._scan(self._view.config)
            await anyio.to_thread.run_sync(self._read_headers)

    def _read_headers(self) -> None:
        """Read each header that is new, here in a thread, so that listing profiles never waits for the disk."""
        for item in list(self._view.items.values()):
            self._look(item.profile)

    async def _scan(self, config: Config) -> None:
        began = self._clock.monotonic()
        library = self._library(config)
        scan = await anyio.to_thread.run_sync(library.scan)
        self._facts.keep_only(scan.models)
        self._view = _view(config, scan)
        self._served = {}
        self._scanned_at = began

    def resolve(self, name: str | None) -> Served:
        profile = self._view.names.resolve(name) if name is not None else self._nameless()
        served = self._served.get(profile)
        if served is None:
            served = self._served[profile] = self._serve(profile)
        return served

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

    def _serve(self, name: str) -> Served:
        profile = self._view.items[name].profile
        facts, _, _ = self._look(profile)
        return Served(
            name=name,
            task=profile.task or (task_of(facts) if facts else "chat"),
            embeddings=profile.embeddings,
            sampling=profile.sampling,
            context=context_of(profile, facts),
        )

    def _look(self, profile: Profile) -> tuple[GgufFacts | None, Model | None, HostlerError | None]:
        """What the header says, or why it says nothing."""
        model = None
        try:
            model = self._library(self._view.config).find(profile.model, self._view.scan)
            return self._facts.facts(model), model, None
        except HostlerError as error:
            return None, model, error

    def entries(self) -> list[Entry]:
        return [self._entry(name, item) for name, item in self._view.items.items()]

    def _entry(self, name: str, item: _Item) -> Entry:
        facts, model, problem = self._look(item.profile)
        context = context_of(item.profile, facts) if facts or item.profile.context else None
        need = needed(item.profile, model, facts) if model is not None and facts is not None else {}
        return Entry(
            name=name,
            profile=item.profile,
            origin=item.origin,
            model=model,
            facts=facts,
            task=item.profile.task or (task_of(facts) if facts else None),
            context=context,
            need=need,
            problem=problem,
        )

    def spec(self, name: str) -> tuple[LoadSpec, Want]:
        """What it takes to run ``name``. Blocking; raises UnknownProfile, ModelError or ConfigError."""
        item = self._view.items.get(name)
        if item is None:
            raise UnknownProfile(f"Profile {name!r} was removed.")
        profile = item.profile
        facts, model, problem = self._look(profile)
        if problem is not None:
            raise problem
        if facts is None or model is None:
            raise ModelError(f"{profile.model} says nothing about itself.")
        task = profile.task or task_of(facts)
        if task == "chat" and facts.chat_template is None:
            raise ConfigError(
                f'Profile {name!r} has `task = "chat"`, but its model has no chat template.',
                hint='Set `task = "completion"`, or take an instruct model.',
            )
        need = needed(profile, model, facts)
        spec = LoadSpec(
            instance="",
            profile=name,
            model=model,
            facts=facts,
            task=task,
            embeddings=profile.embeddings,
            context=context_of(profile, facts),
            slots=profile.slots,
            engine=profile.engine,
            bytes=need,
        )
        return spec, Want(key=instance_key(profile), need=need, slots=profile.slots, pin=profile.pin, ttl_s=profile.ttl)

    def wanted(self) -> dict[str, tuple[str, bool, float | None]]:
        """Key, pin and TTL of every profile there is."""
        return {n: (instance_key(i.profile), i.profile.pin, i.profile.ttl) for n, i in self._view.items.items()}

    def key(self, name: str) -> str:
        """The instance key of a profile; empty when there is no such profile."""
        item = self._view.items.get(name)
        return "" if item is None else instance_key(item.profile)


def _view(config: Config, scan: Scan) -> _View:
    """The config's profiles, then found models; a model that a profile already names is hidden, not gone."""
    items = {name: _Item(profile, "config") for name, profile in config.profiles.items()}
    used = {profile.model for profile in config.profiles.values()}
    for model in scan.models:
        if model.name in items:
            continue
        named = bool(used & {model.name, model.path.name, model.path.stem, str(model.path)})
        profile = Profile(model=str(model.path), description="", group="found", hidden=named)
        items[model.name] = _Item(profile, model.origin)
    names = Names((name, item.profile.aliases) for name, item in items.items())
    return _View(config, scan, items, names)


def task_of(facts: GgufFacts) -> Task:
    """What a model is for, by its header: embedding with a pooling type, chat with a template."""
    if facts.pooling == "rank":
        return "rerank"
    if facts.pooling not in (None, "none"):
        return "embedding"
    return "chat" if facts.chat_template else "completion"


def context_of(profile: Profile, facts: GgufFacts | None) -> int:
    """Tokens for one request: as configured, else what the model was trained for, at most 8192."""
    if isinstance(profile.context, int):
        return profile.context
    return min(DEFAULT_CONTEXT, facts.context_length) if facts is not None else DEFAULT_CONTEXT


def _size(file: Path | None) -> int:
    """Bytes; 0 without a file or when it has just gone, which the load itself will tell."""
    try:
        return 0 if file is None else file.stat().st_size
    except OSError:
        return 0


def needed(profile: Profile, model: Model, facts: GgufFacts) -> dict[str, int]:
    """Predicted bytes per device."""
    engine = profile.engine
    return estimate(
        Need(
            facts=facts,
            context=context_of(profile, facts),
            slots=profile.slots,
            cache_type_k=engine.cache_type_k or "f16",
            cache_type_v=engine.cache_type_v or "f16",
            ubatch=engine.ubatch or DEFAULT_UBATCH,
            prompt_cache=engine.cache_ram,
            checkpoints=CHECKPOINTS,
            projector=_size(model.projector),
        )
    )
