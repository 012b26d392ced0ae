"""The composition root: builds everything, owns the root task group, starts and stops in the right order.

Start: lock the home, end orphans, bind, serve; then the ledger, the management API and preloads behind it.
Stop (Ctrl-C or SIGTERM): refuse new work but keep listening, let running requests finish for ``drain_s``, end
event streams, close the listener, stop every engine, write the ledger. A second signal skips the waiting.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import signal
from collections.abc import Callable, Mapping
from typing import cast

import anyio
import anyio.abc

from hostler import __version__, log
from hostler.accounts.audit import FILE_NAME as AUDIT
from hostler.accounts.audit import Audit
from hostler.accounts.keys import FILE_NAME, LOCAL, Keyring
from hostler.accounts.rates import Pace, Rates
from hostler.clock import SystemClock
from hostler.config.load import Loaded
from hostler.config.paths import expand
from hostler.config.settings import Config, Home, KvSettings
from hostler.config.watch import stamp
from hostler.engines.building.installed import FOLDER as BUILDS
from hostler.engines.builds import Build, Builds
from hostler.engines.drivers import Drivers
from hostler.engines.llamacpp import LlamaCpp
from hostler.engines.program import Program
from hostler.engines.protocol import RunnerSettings
from hostler.engines.remote import Remotes
from hostler.engines.speed.efficiencies import learnt
from hostler.errors import Conflict, HostlerError
from hostler.events import Bus, GatewayDraining, GatewayStarted
from hostler.fleet.learning.conditions import conditions
from hostler.fleet.learning.experience import Experience
from hostler.fleet.learning.foresight import Around, Foresight
from hostler.fleet.learning.loadmodes import LoadModes
from hostler.fleet.learning.loadtrials import LoadTrials, Subject, not_loaded_by_us
from hostler.fleet.learning.probing import Probing
from hostler.fleet.learning.teaching import Teaching
from hostler.fleet.learning.watch import Eyes
from hostler.fleet.memory import Budget
from hostler.fleet.owner import FleetOwner
from hostler.fleet.preparer import Preparer
from hostler.fleet.profiles.catalogue import ProfileCatalogue
from hostler.fleet.profiles.planning import World
from hostler.fleet.prompts.keeper import Keeper
from hostler.fleet.prompts.tenants import Tenancy
from hostler.fleet.recovery.mended import Mended
from hostler.gateway.answering.repairs.known import probes_of
from hostler.gateway.door.cors import Origins
from hostler.gateway.door.front import ASGIApp, Front, FrontParts, LateApp
from hostler.gateway.door.guard import Door
from hostler.gateway.door.server import Server, check_exposure, is_loopback, listen, url_of
from hostler.gateway.inference import Inference, InferenceParts
from hostler.gateway.metrics.counting import Counting
from hostler.gateway.ollama.api import OllamaModels
from hostler.gateway.ollama.listener import beside
from hostler.gateway.ollama.removal import Removal
from hostler.gateway.ollama.staying import obey
from hostler.gateway.openai import Models
from hostler.gateway.web.page import page
from hostler.ledger.captures import FOLDER as CAPTURES
from hostler.ledger.captures import Captures
from hostler.ledger.recorder import Recorder
from hostler.ledger.retention import Retention
from hostler.models.facts_cache import FactsCache
from hostler.models.library import Library
from hostler.reports import Reports, devices, exposition, telemetry, unwritable
from hostler.running_config import RunningConfig
from hostler.store.writer import Writer
from hostler.warming import Warming


class Gateway:
    """Everything that lives as long as the process."""

    def __init__(self, folders: Home, flags: Mapping[str, object], loaded: Loaded) -> None:
        config = loaded.config
        self.folders = folders
        self._log = config.log
        clock = SystemClock()
        self.bus = Bus(clock)
        self.running_config = RunningConfig(folders, flags, loaded, self.bus, lambda: self.devices.machine())
        self.keys = Keyring.load(folders.state / FILE_NAME, loopback=is_loopback(config.gateway.host))
        self.audit = Audit(folders.state / AUDIT)
        check_exposure(config.gateway.host, has_keys=not self.keys.empty)
        self._listener = listen(config.gateway.host, config.gateway.port)
        self.url = url_of(self._listener)
        self.devices = devices(folders.cache)
        self.builds = self._builds()
        self.prompts = Keeper(folders.state, self._kv, Tenancy(self.keys.owner, self._only_tenant), self.bus, clock)
        self.experience = Experience(folders.state, self.prompts)
        self.load_modes = LoadModes(folders.state / "load_modes.json")
        self.facts = FactsCache()
        self._engines = settings = _runner_settings(folders, config)
        self.runner = LlamaCpp(settings, self.builds, self.devices.held_by)
        self.catalogue = ProfileCatalogue(
            config,
            self._library,
            clock,
            lambda: self.fleet.recent(),
            self.facts,
            world=self._world(),
            resident=lambda profile: self.fleet.context(profile),
            sound=lambda profile: self.fleet.sound(profile),
        )
        drivers = Drivers(self.runner, Program(settings, self.devices.held_by, self.runner.spares), Remotes(os.environ))
        self.fleet = FleetOwner(
            runner=drivers,
            preparer=Preparer(
                self.catalogue.spec,
                self.catalogue.wanted,
                self.catalogue.key,
                self._probe,
                self.catalogue.terms,
                self._disk_speed,
            ),
            budget=Budget(config.memory, self.devices.read),
            experience=self.experience,
            limits=config.limits,
            bus=self.bus,
            clock=clock,
            eyes=self._eyes(),
        )
        self.writer = Writer(folders.state / "hostler.db")
        self.counting = Counting()
        self.captures = Captures(folders.state / CAPTURES)
        self.recorder = Recorder(self.writer, self.bus, clock, also=(self.counting.take, self.captures.take))
        self.unwritable = unwritable(self)
        self.telemetry = telemetry(self)
        self.warming = Warming(
            self.fleet, self.catalogue, clock, drivers.probe, self.catalogue.files, self.prompts.measuring
        )
        self.load_trials = LoadTrials(self.fleet, self.load_modes, clock, self._subject, self.prompts.measuring)
        self.draining = False
        self.closing = anyio.Event()
        self.reports = Reports(self)
        self.pace = Pace(_rates(config))
        self.origins = Origins(config.gateway.cors)
        door = Door(self.keys, self.pace, clock, self.origins)
        self.inference = Inference(
            InferenceParts(
                fleet=self.fleet,
                catalogue=self.catalogue,
                door=door,
                recorder=self.recorder,
                clock=clock,
                limits=config.limits,
                draining=lambda: self.draining,
                captures=self.captures,
                stay=self._stay,
            )
        )
        self._management = LateApp()
        front = Front(
            FrontParts(
                door=door,
                models=Models(self.catalogue, self.fleet),
                ollama=OllamaModels(
                    self.catalogue,
                    self.fleet,
                    clock,
                    Removal(folders.models, self.catalogue, self.fleet, self.audit.write, clock),
                ),
                ollama_port=config.gateway.ollama_port,
                management=self._management,
                web=page,
                ready=self.reports.ready,
                metrics=exposition(self).page,
                extras=self.inference.extras(self.fleet.endpoint, self.audit.note),
            )
        )
        self._server = Server(
            front,
            self.inference,
            self._listener,
            self.inference.client_limits,
            beside=beside(config.gateway.host, config.gateway.ollama_port),
        )
        self.running_config.apply = self._configure

    def _configure(self, config: Config) -> None:
        """Whoever asks from now on is met by what is in force now."""
        self.pace.configure(_rates(config))
        self.origins.configure(config.gateway.cors)
        self.inference.configure(config.limits)
        self._server.configure(self.inference.client_limits)
        self._engines.configure(config.limits, config.log)
        if config.log != self._log:
            self._log = config.log
            log.configure(config.log, self.folders.logs)

    def _stay(self, profile: str, seconds: float) -> None:
        obey(self.fleet, self.running_config.config.gateway.keep_alive, profile, seconds)

    def _disk_speed(self) -> float | None:
        disk = self.devices.machine().disk
        return None if disk is None else disk.value

    def _kv(self) -> KvSettings:
        return self.running_config.config.kv

    def _only_tenant(self) -> str | None:
        return LOCAL.name if self.keys.empty else None

    def _builds(self) -> Builds:
        made = self.folders.state / BUILDS
        return Builds(self.folders.cache, made, lambda: self.running_config.config.engines.default_build)

    def _world(self) -> World:
        """What plans are made from; called in the threads in which plans are made."""
        return World(
            machine=self.devices.machine,
            rooms=lambda anew: self.fleet.look() if anew else self.fleet.budget.rooms,
            build=self._known_build,
            residents=lambda: self.fleet.residents(),
            efficiencies=lambda machine, build: learnt(self.folders.cache, machine.fingerprint, build),
            corrections=self.experience.residuals.corrections,
            loading=self.load_modes.of,
            changes=self.experience.retries.of,
            environ=os.environ,
        )

    def _around(self) -> Around:
        """What reading the next model ahead needs to know."""
        budget = self.fleet.budget
        return Around(
            files=self.catalogue.files,
            resident=lambda: {each.profile for each in self.fleet.instances()},
            free=lambda: budget.spare,
        )

    def _eyes(self) -> Eyes:
        """What the fleet sees beside its engines, and where it learns how quick devices are."""
        return Eyes(
            conditions=lambda: conditions(self.telemetry.metrics(seconds=0.0), self.fleet.budget.readings),
            throttled=lambda: self.telemetry.throttled(),
            probing=Probing(self.experience.findings, probes_of, self.bus),
            holders=self.devices.holders,
            teach=Teaching(self.facts.shape, self.devices.machine, self.folders.cache),
        )

    def _known_build(self, name: str | None) -> Build | None:
        """What is known of a build; None of one that was not asked yet, or cannot be, which loading it will tell."""
        try:
            return self.builds.remembered(name)
        except HostlerError:
            return None

    def _subject(self, profile: str) -> Subject:
        """What load modes of a profile are compared with. Raises its problem, or Conflict."""
        entry = next(each for each in self.catalogue.entries() if each.name == profile)
        if entry.problem is not None:
            raise entry.problem
        if entry.model is None or not self.catalogue.has_build(profile):
            raise not_loaded_by_us(profile, entry.profile)
        if entry.profile.engine.load_mode != "auto":
            raise Conflict(f"{profile!r} says itself how it is loaded.", hint="Remove its `engine.load_mode`.")
        build = self._known_build(self.catalogue.build(profile))
        return Subject(entry.model, "" if build is None else build.key)

    def _marks(self, profile: str) -> str:
        """What the engine of a profile depends on, besides its settings."""
        files = [str(stamp(path)) for path in self.catalogue.files(profile)]
        return " ".join([*files, self.builds.mark(self.catalogue.build(profile))])

    def _mended(self) -> Mended:
        def failed(profile: str) -> bool:
            return self.fleet.profile(profile).state == "failed"

        return Mended(self.bus, self._marks, failed, self.fleet.reconfigured)

    async def _probe(self, profile: str) -> None:
        if self.catalogue.has_build(profile):
            await self.builds.get(self.catalogue.build(profile))

    def _library(self, config: Config) -> Library:
        roots = [expand(root, os.environ) for root in config.library.roots]
        return Library(self.folders.models, roots, config.library.caches, os.environ)

    async def serve(self, first: str | None, on_started: Callable[[Gateway], None]) -> None:
        """Serve until a signal has ended it; engines are gone when this returns.

        ``first`` is a profile to load at once, besides the preloads. ``on_started`` is called, in a thread,
        once requests are accepted.
        """
        for orphan in await self.runner.end_orphans():
            log.warning("engine.orphan_ended", pid=orphan.pid, profile=orphan.profile)
        await self.catalogue.open()
        async with anyio.create_task_group() as outlast:
            outlast.start_soon(log.follow_bus, self.bus)  # engines still have something to tell as they end
            async with anyio.create_task_group() as group:
                group.start_soon(self._stop_on_signal)
                await group.start(self.fleet.run)
                group.start_soon(self.runner.spares.run)
                await self._server.serve(lambda url: self._started(url, group, first, on_started))
                group.cancel_scope.cancel()
            outlast.cancel_scope.cancel()

    def _started(
        self, url: str, group: anyio.abc.TaskGroup, first: str | None, tell: Callable[[Gateway], None]
    ) -> None:
        """Requests are accepted: everything that they do not wait for begins now."""
        self.bus.publish(GatewayStarted(url=url, version=__version__))
        self.writer.start()
        group.start_soon(self._build_management)
        group.start_soon(self.catalogue.refresh)
        group.start_soon(self.running_config.warn, self.catalogue)
        group.start_soon(self.running_config.follow, self.catalogue, self.fleet)
        group.start_soon(self.keys.follow)
        group.start_soon(self.audit.follow, self.bus)
        group.start_soon(self.prompts.tend)
        group.start_soon(self.warming.run)
        group.start_soon(self.load_trials.run)
        group.start_soon(Foresight(self.bus, self.folders.state / "switches.json", self._around()).run)
        group.start_soon(self.telemetry.run)
        group.start_soon(self.counting.follow, self.bus)
        group.start_soon(self._mended().run)
        group.start_soon(self.unwritable.run)
        group.start_soon(Retention(self.writer, lambda: self.running_config.config.ledger, SystemClock()).run)
        wanted = dict.fromkeys([*self.running_config.config.gateway.preload, *([first] if first else [])])
        for name in wanted:
            group.start_soon(self._preload, name)
        group.start_soon(anyio.to_thread.run_sync, self._tell, tell)

    def _tell(self, tell: Callable[[Gateway], None]) -> None:
        """Called in a thread: what is told names every device, and drivers can be slow."""
        self.devices.machine()
        self.fleet.look()
        tell(self)

    async def _preload(self, name: str) -> None:
        try:
            await self.fleet.load(self.catalogue.resolve(name).name)
        except HostlerError as error:
            log.error("preload.failed", profile=name, code=error.code, reason=str(error))

    async def _build_management(self) -> None:
        self._management.set(await anyio.to_thread.run_sync(_management_app, self.reports))
        # What was built so far lives as long as the process: looking through it for garbage again and again
        # would stop every stream for tens of milliseconds.
        gc.freeze()
        gc.set_threshold(10_000, 20, 20)
        with contextlib.suppress(OSError, AttributeError):  # glibc alone has it, and gives back what building took
            ctypes.CDLL(None).malloc_trim(0)

    async def _stop_on_signal(self) -> None:
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            async for _ in signals:
                break
            async with anyio.create_task_group() as group:
                group.start_soon(self._stop)
                async for _ in signals:
                    log.warning("gateway.stop_now")
                    self.fleet.cut_off()
                    self.closing.set()
                    self._server.stop_now()

    async def _stop(self) -> None:
        """Finish what was accepted; the end of the server then ends everything else."""
        self.draining = True
        self.bus.publish(GatewayDraining(leases=self.fleet.counts()[0]))
        await self.fleet.drain(self.running_config.config.limits.drain_s)
        self.fleet.cut_off()
        await self.prompts.save_all()
        self.closing.set()
        self._server.stop()

    async def aclose(self) -> None:
        """Write the ledger and close what is still open."""
        self.closing.set()
        await self.inference.aclose()
        await self.recorder.close()
        self.captures.close()
        await self.writer.close()


def _management_app(reports: Reports) -> ASGIApp:
    from hostler.gateway.admin.app import build

    return cast(ASGIApp, build(reports.services()))


def _rates(config: Config) -> Rates:
    return Rates(key=config.limits.key_rate, address=config.limits.address_rate)


def _runner_settings(folders: Home, config: Config) -> RunnerSettings:
    settings = RunnerSettings(limits=config.limits, logs=folders.logs, state=folders.state, cache=folders.cache)
    settings.configure(config.limits, config.log)
    return settings
