"""What the gateway tells about itself, and what the management API works with."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Callable, Collection, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING

import anyio

from hostler import __version__, log
from hostler.clock import SystemClock
from hostler.engines import logs as engine_logs
from hostler.errors import UnknownProfile
from hostler.gateway.metrics.exposition import Exposition, Sources
from hostler.hardware.occupancy import Occupancy
from hostler.hardware.sampler import Telemetry, Timed
from hostler.ledger.queries import Queries
from hostler.store.watching import Part, Unwritable
from hostler.wire.management import DeviceMemory, GatewayStatus, ProfileState, ReadyReport, Reloaded

if TYPE_CHECKING:
    from hostler.app import Gateway
    from hostler.gateway.admin.services import Services
    from hostler.hardware.facts import Machine
    from hostler.wire.plan import PlanReport


def devices(cache: Path) -> Occupancy:
    """This machine's devices; it is inspected, and probes imported, when the first load is prepared."""

    def look() -> Machine:
        from hostler.hardware.inspection import inspect

        return inspect(cache)

    return Occupancy(look)


def telemetry(gateway: Gateway) -> Telemetry:
    """The readings of this machine's devices; probes are imported when it first looks."""

    def look(ours: Collection[int]) -> Machine:
        from hostler.hardware.inspection import inspect

        return inspect(gateway.folders.cache, ours)

    def sources(machine: Machine) -> Sequence[Timed]:
        from hostler.hardware.sources import of

        return of(machine)

    def pids() -> list[int]:
        return [view.pid for view in gateway.fleet.instances() if view.pid is not None]

    def measure(machine: Machine) -> None:
        from hostler.hardware.inspection import measure

        models = [entry.model for entry in gateway.catalogue.entries() if entry.model is not None]
        measure(gateway.folders.cache, machine, [path for model in models for path in model.files])

    return Telemetry(gateway.bus, look, sources, pids, measure)


def unwritable(gateway: Gateway) -> Unwritable:
    """What of the state folder cannot be written."""
    sources: dict[Part, Callable[[], str]] = {
        "ledger": lambda: gateway.writer.problem,
        "audit": lambda: gateway.audit.problem,
        "log": log.file_problem,
        "captures": lambda: gateway.captures.problem,
        "prompts": lambda: gateway.prompts.problem,
    }
    again: dict[Part, Callable[[], None]] = {
        "audit": lambda: gateway.audit.try_again(),
        "captures": lambda: gateway.captures.try_again(),
        "prompts": lambda: gateway.prompts.try_again(),
    }
    return Unwritable(sources, gateway.bus, again)


def exposition(gateway: Gateway) -> Exposition:
    """What `/metrics` answers."""
    sources = Sources(
        counts=lambda: gateway.fleet.counts(),
        instances=lambda: gateway.fleet.instances(),
        devices=lambda: gateway.telemetry.metrics(seconds=0.0).devices,
        dropped=lambda: gateway.recorder.dropped,
    )
    return Exposition(gateway.counting, sources)


class Reports:
    """Reads of a running gateway."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self.started_at = SystemClock.wall()

    def status(self) -> GatewayStatus:
        """``GET /api/gateway``."""
        gateway = self.gateway
        running, queued = gateway.fleet.counts()
        return GatewayStatus(
            version=__version__,
            pid=os.getpid(),
            url=gateway.url,
            home=str(gateway.folders.state.parent),
            config_file=str(gateway.folders.config_file),
            config_error=gateway.running_config.problem,
            started_at=self.started_at,
            draining=gateway.draining,
            default=gateway.catalogue.default(),
            running=running,
            queued=queued,
            last_event=gateway.bus.last_id,
            ledger_dropped=gateway.recorder.dropped,
            memory=self.memory(),
            unwritable=gateway.unwritable.now(),
        )

    def memory(self) -> tuple[DeviceMemory, ...]:
        """Each device: size, free, budget of engines, and what they hold."""
        budget = self.gateway.fleet.budget
        instances = self.gateway.fleet.instances()
        return tuple(
            DeviceMemory(
                device=device,
                total=reading.total,
                free=reading.free,
                budget=budget.bytes[device],
                used=sum(i.bytes.get(device, 0) for i in instances),
            )
            for device, reading in budget.readings.items()
        )

    def ready(self) -> ReadyReport:
        """``GET /ready``: the config is valid, nothing drains, every preload is settled."""
        gateway = self.gateway
        states = {name: self._state(name) for name in gateway.running_config.config.gateway.preload}
        settled = all(state in ("ready", "failed") for state in states.values())
        return ReadyReport(
            ready=settled and not gateway.draining and not gateway.running_config.problem,
            draining=gateway.draining,
            config_error=gateway.running_config.problem,
            profiles=states,
            unwritable=gateway.unwritable.now(),
        )

    def _state(self, name: str) -> ProfileState:
        try:
            return self.gateway.fleet.profile(self.gateway.catalogue.resolve(name).name).state
        except UnknownProfile:
            return "failed"

    def log_file(self, profile: str | None) -> Path:
        """The engine's log of a profile, or Hostler's own."""
        logs = self.gateway.folders.logs
        return logs / log.FILE_NAME if profile is None else engine_logs.path_for(logs, profile)

    async def reload(self) -> Reloaded:
        """Read the configuration again."""
        return await self.gateway.running_config.reload(self.gateway.catalogue, self.gateway.fleet)

    async def plan(self, profile: str) -> PlanReport:
        """``GET /api/profiles/{name}/plan``, for a profile by its own name."""
        return await anyio.to_thread.run_sync(self.gateway.catalogue.plan, profile)

    def services(self) -> Services:
        """What the management API is built with. Imports it."""
        from hostler.gateway.admin.services import Services

        gateway = self.gateway
        return Services(
            fleet=gateway.fleet,
            catalogue=gateway.catalogue,
            bus=gateway.bus,
            history=Queries(gateway.writer, gateway.recorder),
            hardware=gateway.telemetry,
            prompts=gateway.prompts,
            warming=gateway.warming,
            load_modes=gateway.load_trials,
            logs=LogFiles(),
            closing=gateway.closing,
            keys=gateway.keys,
            authenticate=gateway.keys.authenticate,
            status=self.status,
            reload=self.reload,
            plan=self.plan,
            config=gateway.running_config.shown,
            log_file=self.log_file,
            origins=gateway.origins,
            audit=gateway.audit,
        )


class LogFiles:
    """Reads log files for the management API; see :class:`hostler.gateway.admin.services.LogReader`."""

    async def tail(self, path: Path, lines: int) -> list[str]:
        return await anyio.to_thread.run_sync(engine_logs.tail, path, lines)

    async def follow(self, path: Path, lines: int) -> AsyncGenerator[str, None]:
        for line in await self.tail(path, lines):
            yield line
        async with aclosing(engine_logs.follow(path)) as fresh:
            async for line in fresh:
                yield line
