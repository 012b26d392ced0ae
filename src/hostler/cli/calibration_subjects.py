"""What `hostler calibrate` measures: profiles, planned as if nothing of ours were loaded."""

from __future__ import annotations

import os
import sys

from hostler.cli.active_build import known_builds
from hostler.cli.command import Session
from hostler.cli.doctor.library import library
from hostler.cli.whereabouts import load_config
from hostler.config import paths
from hostler.config.names import Names
from hostler.config.settings import Config, Home, Profile
from hostler.engines.builds import Build, Builds
from hostler.engines.commands.command import CHECKPOINTS
from hostler.engines.commands.devicenames import engine_names
from hostler.engines.llamacpp import LlamaCpp
from hostler.engines.protocol import LoadSpec, RunnerSettings
from hostler.engines.speed.calibration import Subject, depths_of
from hostler.engines.speed.efficiencies import learnt
from hostler.errors import InvalidRequest, ModelError, UnknownProfile
from hostler.fleet.profiles.serving import task_of
from hostler.hardware.facts import Machine
from hostler.hardware.inspection import inspect_and_measure
from hostler.models.facts import GgufFacts, Model
from hostler.models.gguf import read_model
from hostler.models.library import Library, Scan
from hostler.models.shape import ModelShape
from hostler.placement.planner import plan
from hostler.placement.wish import Site, rooms_of, wish_of

LEAST_CONTEXT = 512
_GENERATING = ("chat", "completion")


async def subjects(session: Session, names: list[str]) -> list[Subject]:
    """The profiles (or models) of those names; none named: every configured profile that generates and is there.

    Raises UnknownProfile, ModelError, NeverFits, BuildUnusable or InvalidRequest, which says why one cannot be
    measured.
    """
    ground = _Ground(session)
    wanted = names or [name for name in ground.config.profiles if ground.measurable(name)]
    if not wanted:
        raise InvalidRequest(
            "No configured profile can be measured.", hint="`hostler starters fetch smollm2`, or name a model."
        )
    return [await ground.subject(name) for name in wanted]


class _Ground:
    """This machine, its configuration and its models."""

    def __init__(self, session: Session) -> None:
        self.config: Config = load_config(session.config).config
        self._home: Home = paths.home(os.environ, session.config)
        self._library: Library = library(session.config)
        self._scan: Scan = self._library.scan()
        self._builds: Builds = known_builds(session.config)
        self._machine: Machine = inspect_and_measure(
            self._home.cache, tell=lambda: print("measuring memory ...", file=sys.stderr)
        )

    def measurable(self, name: str) -> bool:
        """Whether the profile's model is there and generates."""
        profile = self.config.profiles[name]
        try:
            model = self._library.find(profile.model, self._scan)
            return (profile.task or task_of(read_model(model.files)[0])) in _GENERATING
        except ModelError:
            return False

    async def subject(self, asked: str) -> Subject:
        name, profile = self._profile(asked)
        model = self._library.find(profile.model, self._scan)
        facts, shape = read_model(model.files)
        build = await self._builds.get(profile.engine.build)
        spec = self._spec((name, profile), (model, facts, shape), build)
        if spec.context < LEAST_CONTEXT:
            raise InvalidRequest(f"{name} has a context of {spec.context} tokens; measuring takes {LEAST_CONTEXT}.")
        settings = RunnerSettings(
            limits=self.config.limits, logs=self._home.logs, state=self._home.state / "calibration",
            cache=self._home.cache,
        )  # fmt: skip
        return Subject(
            spec=spec,
            shape=shape,
            machine=self._machine,
            runner=LlamaCpp(settings, self._builds),
            build=build.key,
            cache=self._home.cache,
            depths=depths_of(spec.context),
        )

    def _profile(self, asked: str) -> tuple[str, Profile]:
        names = Names((name, profile.aliases) for name, profile in self.config.profiles.items())
        try:
            name = names.resolve(asked)
        except UnknownProfile:
            return asked, Profile(model=asked)
        return name, self.config.profiles[name]

    def _spec(self, named: tuple[str, Profile], what: tuple[Model, GgufFacts, ModelShape], build: Build) -> LoadSpec:
        (name, profile), (model, facts, shape) = named, what
        task = profile.task or task_of(facts)
        if task not in _GENERATING:
            raise InvalidRequest(f"{name} answers with vectors or scores; only what generates can be measured.")
        projector = model.projector.stat().st_size if model.projector else 0
        wish = wish_of(profile, shape, task=task, projector=projector, checkpoints=CHECKPOINTS)
        placed = plan(shape, wish, self._site(build))
        return LoadSpec(
            instance=f"calibration-{os.getpid()}",
            profile=name,
            model=model,
            facts=facts,
            task="completion",
            embeddings=False,
            context=placed.run.context,
            slots=placed.run.slots,
            engine=profile.engine,
            bytes=placed.need,
            plan=placed,
        )

    def _site(self, build: Build) -> Site:
        machine, names = self._machine, engine_names(self._machine, build.devices, os.environ)
        return Site(
            machine=machine,
            rooms=rooms_of(machine),
            usable=tuple(names),
            names=names,
            efficiencies=learnt(self._home.cache, machine.fingerprint, build.key),
        )
