"""The engines that run: starting, following, measuring and stopping them, one task each."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import TypeVar

import anyio
import anyio.abc
import msgspec

from hostler import log
from hostler.clock import Clock
from hostler.config.settings import LimitSettings
from hostler.engines.protocol import (
    Buffer,
    Complaint,
    Endpoint,
    LoadSpec,
    Ready,
    Report,
    Runner,
    Splits,
    Stage,
    Started,
)
from hostler.errors import EngineLost, HostlerError, LoadFailed
from hostler.events import (
    Bus,
    EngineMemory,
    EngineMessage,
    EngineTrouble,
    InstanceChanged,
    LoadProgress,
    MachineSlept,
)
from hostler.fleet.learning.experience import Experience
from hostler.fleet.learning.measurements import Measurement
from hostler.fleet.learning.watch import Watch
from hostler.fleet.parked import WHOLE
from hostler.fleet.prompts.seat import Seat
from hostler.fleet.protocol import Abandoned, Timing
from hostler.fleet.recovery.doubts import Doubts
from hostler.fleet.recovery.health import Health
from hostler.fleet.recovery.killed import Killed
from hostler.fleet.recovery.retries import Around, retried
from hostler.fleet.recovery.returned import Held, Returned
from hostler.fleet.recovery.sleep import SleepWatch
from hostler.fleet.run import Run
from hostler.fleet.scheduling import messages as m
from hostler.hardware.facts import HOST, Kind

PROGRESS_S = 0.5
WEDGED = "a slot stayed busy after its client had left"

E = TypeVar("E", bound=Exception)


class Yard(msgspec.Struct, frozen=True):
    """What runs know of the fleet around them: how to tell it something, its devices, their kinds, who watches.

    ``waiting`` names the principals who wait for a profile, ``busy`` counts the requests of an instance, ``doom`` tells
    them beforehand why they will lose it.
    """

    tell: Callable[[m.Message], None]
    around: Around
    kinds: Callable[[], Mapping[str, Kind]]
    watch: Watch
    waiting: Callable[[str], Collection[str]] = lambda profile: ()
    busy: Callable[[str], int] = lambda instance: 0
    limits: Callable[[], LimitSettings] = LimitSettings
    doom: Callable[[str, EngineLost], None] = lambda instance, why: None


class Runs:
    """All runs by instance id; results are told by message."""

    def __init__(self, runner: Runner, experience: Experience, bus: Bus, clock: Clock, yard: Yard) -> None:
        self._runner = runner
        self._experience = experience
        self._retries = experience.retries
        self._killed = Killed()
        self.measurements = experience.measurements
        self._bus = bus
        self._clock = clock
        self._yard = yard
        self._tell = yard.tell
        self._runs: dict[str, Run] = {}
        self._health = Health(runner, clock, yard.limits, yard.busy, self._lose)
        self._doubts = Doubts(runner, yard.tell, self._lose)
        self._sleep = SleepWatch(clock)
        self._returned = Returned(bus, clock, yard.around.free, yard.watch.holders)
        self.group: anyio.abc.TaskGroup | None = None

    def get(self, instance: str) -> Run | None:
        """The run of that instance, until it is reaped."""
        return self._runs.get(instance)

    def notes(self, run: Run) -> tuple[str, ...]:
        """What is the matter with it now, for people."""
        return (*([run.trouble] if run.trouble else []), *self._yard.watch.notes(run))

    def pids(self) -> list[int]:
        """The processes that run now. May be called in any thread."""
        return [run.pid for run in list(self._runs.values()) if run.pid is not None]

    def start(self, spec: LoadSpec, key: str, cached: float | None = None) -> None:
        """Begin the instance's task. ``cached`` is how much of its files is in the page cache, if that is known."""
        known = self.measurements.get(key)
        run = Run(spec, key, self._clock, known.load_s if known else None, self._retries.of(key))
        if known is not None:
            run.tokens_per_s, run.reload_s = known.tokens_per_s, known.reload_s
        run.cached = cached
        if self._experience.prompts is not None:
            run.seat = Seat(self._experience.prompts, self._bus, spec)
        self._runs[spec.instance] = run
        if self.group is None:
            raise RuntimeError("the fleet is not running")
        self.group.start_soon(self._live, run)

    def stop(self, instance: str) -> None:
        """End the instance's task, once its prompts are saved; Gone is told when the process is reaped."""
        run = self._runs.get(instance)
        if run is None or run.leaving:
            return
        if run.seat is not None and run.endpoint is not None and run.tasks is not None and run.seat.worth_saving:
            run.leaving = True
            run.tasks.start_soon(self._save_prompts, run, run.seat, run.endpoint)
        else:
            run.scope.cancel()

    def doubt(self, instance: str) -> None:
        """A request lost it; see :class:`Doubts`."""
        if run := self._runs.get(instance):
            self._doubts.about(run)

    async def _save_prompts(self, run: Run, seat: Seat, endpoint: Endpoint) -> None:
        """Bounded by the seat; the run ends whatever becomes of it."""
        try:
            await seat.save(endpoint)
        finally:
            run.scope.cancel()

    def _lose(self, run: Run, error: EngineLost) -> None:
        """It runs and does nothing: no request comes to it any more, and it is ended without a word."""
        run.lost, run.trouble, run.leaving = error, error.message, True
        self._trouble(run, error.cause, error.message)
        self._yard.doom(run.spec.instance, error)
        self._tell(m.Retire(run.spec.instance, error.message))
        run.scope.cancel()

    def _trouble(self, run: Run, cause: str, reason: str) -> None:
        spec = run.spec
        self._bus.publish(EngineTrouble(instance=spec.instance, profile=spec.profile, cause=cause, reason=reason))

    async def _live(self, run: Run) -> None:
        error: HostlerError | None = None
        try:
            with run.scope:
                async with anyio.create_task_group() as group:
                    run.tasks = group
                    group.start_soon(self._show_progress, run)
                    await self._run(run)
                    group.cancel_scope.cancel()
        except* HostlerError as failed:
            error = _first(failed)
        except* Exception as bug:  # noqa: BLE001 - the edge of a run: a bug in one must not end the others
            log.bug("engine.run_failed", bug, profile=run.spec.profile)
            error = LoadFailed(f"Running {run.spec.profile!r} failed within Hostler: {_first(bug)}.")
        finally:
            run.tasks = None
            if run.seat is not None:
                run.seat.gone()
            try:
                if isinstance(error, EngineLost):
                    self._yard.doom(run.spec.instance, error)
                if run.held:
                    if error is not None:
                        self._doubts.about(run)  # nobody is to get what has ended
                    loading = any(other.endpoint is None for other in self._runs.values() if other is not run)
                    await self._returned.wait(run.spec.profile, run.held, told=not loading)
            finally:
                del self._runs[run.spec.instance]
                self._keep_speed(run)
                self._gone(run, run.lost or error)

    async def _run(self, run: Run) -> None:
        await self._runner.run(run.spec, lambda report: self._report(run, report))
        # A runner raises when its engine ends by itself; coming back without an error is an end all the same.
        ended = EngineLost if run.endpoint else LoadFailed
        raise ended(f"The engine of {run.spec.profile!r} ended by itself.")

    def _gone(self, run: Run, error: HostlerError | None) -> None:
        asked = run.lost is None and (run.leaving or run.scope.cancel_called)
        spec, stopped = run.spec, error is None or asked
        step = None
        if error is not None and not stopped:
            tried = (spec, run.changes, run.reported)
            step = self._retries.failed(run.key, tried, error, self._yard.around)
        killed = error is not None and not stopped and run.endpoint is None and self._killed.again(run.key, error)
        again = killed or (step is not None and run.endpoint is None)
        if stopped or again or run.lost is not None:
            told = error if again else run.lost
            reason, code = ("", "") if told is None else (told.message, told.code)
            event = InstanceChanged(
                instance=spec.instance, profile=spec.profile, state="stopped", reason=reason, code=code
            )
            self._bus.publish(event)
        if step is not None:
            self._bus.publish(retried(spec.instance, spec.profile, self._retries.of(run.key)))
        self._tell(m.Gone(spec.instance, error, again=again))

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
                run.reported.add(report)
                event = EngineMemory(instance=spec.instance, profile=spec.profile, device=device, kind=kind, mib=mib)
                self._bus.publish(event)
            case Splits(_, token):
                self._compare_splits(spec, token)
            case Complaint(level, text):
                self._bus.publish(EngineMessage(instance=spec.instance, profile=spec.profile, level=level, text=text))
            case Ready(endpoint, tokens_per_s):
                ready = partial(self._ready, run, endpoint, tokens_per_s)
                if run.seat is None or run.tasks is None:
                    ready()
                else:
                    run.tasks.start_soon(self._restore_prompts, run, run.seat, endpoint, ready)

    async def _restore_prompts(self, run: Run, seat: Seat, endpoint: Endpoint, ready: Callable[[], None]) -> None:
        """Before the first lease; bounded by the seat."""
        began = self._clock.monotonic()
        await seat.restore(endpoint, run.argv, self._yard.waiting(run.spec.profile))
        run.restoring_s = self._clock.monotonic() - began
        ready()

    def _compare_splits(self, spec: LoadSpec, found: int) -> None:
        """Every cut costs time: one that was not planned means that something lies where it should not."""
        planned = spec.plan.speeds[0].splits if spec.plan.speeds and spec.plan.placement == "auto" else found
        if found > planned:
            text = f"the graph is cut into {found} pieces, {planned} were planned: answers are slower than predicted"
            self._bus.publish(EngineMessage(instance=spec.instance, profile=spec.profile, level="warning", text=text))

    def _ready(self, run: Run, endpoint: Endpoint, tokens_per_s: float | None) -> None:
        run.endpoint = endpoint
        run.ready_at = self._clock.monotonic()
        run.load_s = run.ready_at - run.began - run.restoring_s
        if run.tokens_per_s is None:
            run.tokens_per_s = tokens_per_s
        held = self._resident(run)
        holds = {**run.spec.bytes, **(held or {})}  # on a GPU drivers do not tell every system who holds what
        self._bus.publish(InstanceChanged(instance=run.spec.instance, profile=run.spec.profile, state="ready"))
        self._tell(m.Loaded(run.spec.instance, holds))
        self._remember(run, holds)
        self._compare(run, held or {})
        self._yard.watch.ready(run)
        if run.tasks is not None:
            run.tasks.start_soon(self._health.watch, run, endpoint)

    def _remember(self, run: Run, holds: dict[str, int]) -> None:
        if run.cached is not None and run.cached >= WHOLE:
            run.reload_s = run.load_s
        self.measurements.put(run.key, _measured(run, holds))
        self._retries.worked(run.key)
        self._killed.worked(run.key)
        if self.group is not None:
            self.group.start_soon(self._save)

    def _compare(self, run: Run, held: Mapping[str, int]) -> None:
        """Learn from what the engine reported; an engine that reports nothing teaches nothing."""
        if run.reported.mib:
            residuals = self._experience.residuals
            self._bus.publish(residuals.record(run.spec, run.reported.mib, held, self._yard.kinds()))

    def forget_others(self, keys: Collection[str]) -> None:
        """Profiles are set otherwise: what was changed for settings that are gone is asked for anew."""
        if self._retries.keep_only(keys) and self.group is not None:
            self.group.start_soon(self._save)

    async def _save(self) -> None:
        try:
            await anyio.to_thread.run_sync(self._experience.save)
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

    def _keep_speed(self, run: Run) -> None:
        """What an engine that stops was last seen to do, for lists; the next one starts from it."""
        known = self.measurements.get(run.key)
        if known is not None and run.tokens_per_s is not None:
            self.measurements.put(run.key, msgspec.structs.replace(known, tokens_per_s=run.tokens_per_s))

    def note_timing(self, instance: str, timing: Timing) -> None:
        """An answer that was the only one in the fleet at its time; the first few are compared with the plan."""
        run = self._runs.get(instance)
        if run is None or run.pace.known:
            return
        loading = any(other.endpoint is None for other in self._runs.values())
        if not loading and run.pace.add(timing) and self.group is not None:
            self.group.start_soon(self._yard.watch.judge, run, lambda: self._resident(run) or {})

    async def measure(self) -> dict[str, dict[str, int]]:
        """What each ready instance really holds now, per device. Notices, too, that the machine slept."""
        if slept_s := self._sleep.slept_s():
            self._woke(slept_s)
        ready = [run for run in self._runs.values() if run.endpoint is not None and run.pid is not None]
        if not ready:
            return {}
        readings = await anyio.to_thread.run_sync(lambda: {run.spec.instance: self._resident(run) for run in ready})
        held = {
            run.spec.instance: {**run.spec.bytes, **sizes} for run in ready if (sizes := readings[run.spec.instance])
        }
        for run in ready:
            if sizes := held.get(run.spec.instance):
                self.measurements.put(run.key, _measured(run, sizes))
                await self._see_held(run, sizes)
        return held

    async def _see_held(self, run: Run, sizes: Mapping[str, int]) -> None:
        """What is to come back of GPUs when it ends."""
        gpus = [name for name, kind in self._yard.kinds().items() if kind != HOST and sizes.get(name)]
        if gpus:
            around = self._yard.around
            free = await anyio.to_thread.run_sync(lambda: {name: around.free(name) for name in gpus})
            run.held = {name: Held(sizes[name], left) for name, left in free.items() if left is not None}

    def _woke(self, slept_s: float) -> None:
        """Drivers and their memory may not have come back with the machine: idle engines show that they work."""
        idle = [
            run for run in self._runs.values() if run.endpoint is not None and not self._yard.busy(run.spec.instance)
        ]
        self._bus.publish(MachineSlept(seconds=slept_s, rechecked=tuple(run.spec.profile for run in idle)))
        for run in idle:
            if run.tasks is not None and run.endpoint is not None:
                run.tasks.start_soon(self._health.check, run, run.endpoint)

    def _resident(self, run: Run) -> dict[str, int] | None:
        return None if run.pid is None else self._runner.resident_bytes(run.pid, run.spec)

    async def slot_freed(self, instance: str, abandoned: Abandoned, leases: Callable[[], int]) -> bool:
        """Wait until the engine computes for no more than ``leases()`` requests; False when it never does."""
        run = self._runs.get(instance)
        within_s = self._yard.limits().hang_up_s
        if run is None or await run.slots.freed(abandoned, leases, lambda: self._busy(instance), within_s):
            return True
        run.trouble = WEDGED
        self._trouble(run, "wedged_slot", WEDGED)
        return False

    async def _busy(self, instance: str) -> int | None:
        run = self._runs.get(instance)
        return None if run is None or run.endpoint is None else await self._runner.slots_busy(run.endpoint)


def _measured(run: Run, held: dict[str, int]) -> Measurement:
    """What is remembered of a run that is ready."""
    flags = run.spec.plan.argv
    return Measurement(
        load_s=run.load_s or 0.0, bytes=held, tokens_per_s=run.tokens_per_s, flags=flags, reload_s=run.reload_s
    )


def _first(group: BaseExceptionGroup[E]) -> E:
    """The error inside nested groups that was raised first."""
    inner = group.exceptions[0]
    return _first(inner) if isinstance(inner, BaseExceptionGroup) else inner
