"""The engines that run: starting, following, measuring and stopping them, one task each."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import anyio
import anyio.abc
from msgspec.structs import replace

from hostler import log
from hostler.clock import Clock
from hostler.engines.protocol import Buffer, Complaint, Endpoint, LoadSpec, Ready, Report, Runner, Stage, Started
from hostler.errors import EngineLost, HostlerError, LoadFailed
from hostler.events import Bus, EngineMemory, EngineMessage, InstanceChanged, LoadProgress
from hostler.fleet import messages as m
from hostler.fleet.measurements import Measurement, Measurements
from hostler.fleet.preparer import Preparer
from hostler.fleet.protocol import Abandoned
from hostler.fleet.slots import SlotWatch

PROGRESS_S = 0.5
ALMOST = 0.97

E = TypeVar("E", bound=Exception)


class Run:
    """One engine process from start to reaped, as its task keeps it up to date."""

    def __init__(self, spec: LoadSpec, key: str, clock: Clock, expected_s: float | None) -> None:
        self.spec = spec
        self.key = key
        self.began = clock.monotonic()
        self.started_at = clock.wall()
        self.expected_s = expected_s
        self.ready_at = float("inf")
        self.scope = anyio.CancelScope()
        self.slots = SlotWatch(clock)
        self.stage = "starting"
        self.pid: int | None = None
        self.argv: tuple[str, ...] = ()
        self.endpoint: Endpoint | None = None
        self.load_s: float | None = None
        self.tokens_per_s: float | None = None

    def progress(self, now: float) -> tuple[str, float | None]:
        """The stage, and the fraction estimated from the last measured load (None without one)."""
        if not self.expected_s:
            return self.stage, None
        return self.stage, min(ALMOST, (now - self.began) / self.expected_s)


class Runs:
    """All runs by instance id; results are told by message."""

    def __init__(
        self,
        runner: Runner,
        measurements: Measurements,
        bus: Bus,
        clock: Clock,
        tell: Callable[[m.Message], None],
    ) -> None:
        self._runner = runner
        self.measurements = measurements
        self._bus = bus
        self._clock = clock
        self._tell = tell
        self._runs: dict[str, Run] = {}
        self.group: anyio.abc.TaskGroup | None = None

    def get(self, instance: str) -> Run | None:
        """The run of that instance, until it is reaped."""
        return self._runs.get(instance)

    def pids(self) -> list[int]:
        """The processes that run now."""
        return [run.pid for run in self._runs.values() if run.pid is not None]

    async def prepare(self, profile: str, preparer: Preparer) -> tuple[LoadSpec, m.Want]:
        """What it takes to run ``profile``; raises every error that can be found without starting it."""
        spec, want = await anyio.to_thread.run_sync(preparer.spec, profile)
        await self._runner.preflight(spec)
        return spec, self._corrected(want)

    def _corrected(self, want: m.Want) -> m.Want:
        """``want`` with what the same settings were measured to hold, where that is known."""
        known = self.measurements.get(want.key)
        if known is None:
            return want
        return replace(want, need={d: known.bytes.get(d, size) for d, size in want.need.items()})

    def start(self, spec: LoadSpec, key: str) -> None:
        """Begin the instance's task."""
        known = self.measurements.get(key)
        run = Run(spec, key, self._clock, known.load_s if known else None)
        if known is not None:
            run.tokens_per_s = known.tokens_per_s
        self._runs[spec.instance] = run
        if self.group is None:
            raise RuntimeError("the fleet is not running")
        self.group.start_soon(self._live, run)

    def stop(self, instance: str) -> None:
        """End the instance's task; Gone is told when the process is reaped."""
        if run := self._runs.get(instance):
            run.scope.cancel()

    async def _live(self, run: Run) -> None:
        error: HostlerError | None = None
        try:
            with run.scope:
                async with anyio.create_task_group() as group:
                    group.start_soon(self._show_progress, run)
                    await self._run(run)
                    group.cancel_scope.cancel()
        except* HostlerError as failed:
            error = _first(failed)
        except* Exception as bug:  # noqa: BLE001 - the edge of a run: a bug in one must not end the others
            log.bug("engine.run_failed", bug, profile=run.spec.profile)
            error = LoadFailed(f"Running {run.spec.profile!r} failed within Hostler: {_first(bug)}.")
        finally:
            del self._runs[run.spec.instance]
            self._gone(run, error)

    async def _run(self, run: Run) -> None:
        await self._runner.run(run.spec, lambda report: self._report(run, report))
        # A runner raises when its engine ends by itself; coming back without an error is an end all the same.
        ended = EngineLost if run.endpoint else LoadFailed
        raise ended(f"The engine of {run.spec.profile!r} ended by itself.")

    def _gone(self, run: Run, error: HostlerError | None) -> None:
        if error is None or run.scope.cancel_called:
            event = InstanceChanged(instance=run.spec.instance, profile=run.spec.profile, state="stopped")
            self._bus.publish(event)
        self._tell(m.Gone(run.spec.instance, error))

    def _report(self, run: Run, report: Report) -> None:
        spec = run.spec
        match report:
            case Started(pid, argv):
                run.pid, run.argv = pid, argv
                self._bus.publish(InstanceChanged(instance=spec.instance, profile=spec.profile, state="loading"))
            case Stage(name):
                run.stage = name
                self._publish_progress(run)
            case Buffer(device, kind, mib):
                event = EngineMemory(instance=spec.instance, profile=spec.profile, device=device, kind=kind, mib=mib)
                self._bus.publish(event)
            case Complaint(level, text):
                self._bus.publish(EngineMessage(instance=spec.instance, profile=spec.profile, level=level, text=text))
            case Ready(endpoint, tokens_per_s):
                self._ready(run, endpoint, tokens_per_s)

    def _ready(self, run: Run, endpoint: Endpoint, tokens_per_s: float | None) -> None:
        run.endpoint = endpoint
        run.ready_at = self._clock.monotonic()
        run.load_s = run.ready_at - run.began
        if run.tokens_per_s is None:
            run.tokens_per_s = tokens_per_s
        holds = self._resident(run) or run.spec.bytes
        self._bus.publish(InstanceChanged(instance=run.spec.instance, profile=run.spec.profile, state="ready"))
        self._tell(m.Loaded(run.spec.instance, holds))
        self._remember(run, holds)

    def _remember(self, run: Run, holds: dict[str, int]) -> None:
        load_s = run.load_s or 0.0
        self.measurements.put(run.key, Measurement(load_s=load_s, bytes=holds, tokens_per_s=run.tokens_per_s))
        if self.group is not None:
            self.group.start_soon(self._save)

    async def _save(self) -> None:
        try:
            await anyio.to_thread.run_sync(self.measurements.save)
        except OSError:
            return  # estimates stay what they were; a full or read-only folder is told by the ledger

    async def _show_progress(self, run: Run) -> None:
        while run.endpoint is None:
            await anyio.sleep(PROGRESS_S)
            if run.endpoint is None:
                self._publish_progress(run)

    def _publish_progress(self, run: Run) -> None:
        now = self._clock.monotonic()
        stage, fraction = run.progress(now)
        self._bus.publish(
            LoadProgress(
                instance=run.spec.instance,
                profile=run.spec.profile,
                stage=stage,
                elapsed_s=now - run.began,
                fraction=fraction,
            )
        )

    def note_speed(self, instance: str, tokens_per_s: float) -> None:
        """Blend a reported speed into what is shown; about the last ten requests count."""
        if run := self._runs.get(instance):
            before = run.tokens_per_s
            run.tokens_per_s = tokens_per_s if before is None else 0.8 * before + 0.2 * tokens_per_s

    async def measure(self) -> dict[str, dict[str, int]]:
        """What each ready instance really holds now, per device."""
        ready = [run for run in self._runs.values() if run.endpoint is not None and run.pid is not None]
        if not ready:
            return {}
        readings = await anyio.to_thread.run_sync(lambda: {run.spec.instance: self._resident(run) for run in ready})
        held = {instance: sizes for instance, sizes in readings.items() if sizes}
        for run in ready:
            if sizes := held.get(run.spec.instance):
                measured = Measurement(load_s=run.load_s or 0.0, bytes=sizes, tokens_per_s=run.tokens_per_s)
                self.measurements.put(run.key, measured)
        return held

    def _resident(self, run: Run) -> dict[str, int] | None:
        return None if run.pid is None else self._runner.resident_bytes(run.pid, run.spec)

    async def slot_freed(self, instance: str, abandoned: Abandoned, leases: Callable[[], int]) -> bool:
        """Wait until the engine computes for no more than ``leases()`` requests; False when it never does."""
        run = self._runs.get(instance)
        return run is None or await run.slots.freed(abandoned, leases, lambda: self._busy(instance))

    async def _busy(self, instance: str) -> int | None:
        run = self._runs.get(instance)
        return None if run is None or run.endpoint is None else await self._runner.slots_busy(run.endpoint)


def _first(group: BaseExceptionGroup[E]) -> E:
    """The error inside nested groups that was raised first."""
    inner = group.exceptions[0]
    return _first(inner) if isinstance(inner, BaseExceptionGroup) else inner
