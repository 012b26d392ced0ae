"""The owner of all instances: takes messages, lets the scheduler decide, carries the effects out.

All state of the fleet is changed in :meth:`FleetOwner._tell`, and for leases that nothing else follows from
where they are granted and end; always on the event loop's thread and never across an await, so a message is
atomic. Whatever takes time (preparing, running, watching) lives in a task of the fleet's task group and tells
its result by a message.
"""

from __future__ import annotations

from collections import deque

import anyio
import anyio.abc
import msgspec

from hostler.clock import Clock
from hostler.config.settings import LimitSettings, Priority
from hostler.engines.protocol import LoadSpec, Runner
from hostler.errors import Draining, EngineLost, HostlerError
from hostler.events import Bus, InstanceChanged, InstanceState, LeaseEnded, LeaseGranted, RequestQueued, Swap
from hostler.fleet import views
from hostler.fleet.learning.experience import Experience
from hostler.fleet.learning.watch import Eyes, Watch
from hostler.fleet.leases import Asked, HeldLease, QueuedTicket
from hostler.fleet.memory import Budget
from hostler.fleet.operated import Operated
from hostler.fleet.parked import Parking
from hostler.fleet.preparer import Preparer
from hostler.fleet.preparing import Preparing
from hostler.fleet.protocol import Abandoned, Conversation, Timing
from hostler.fleet.recovery.retries import Around
from hostler.fleet.runs import Runs, Yard
from hostler.fleet.scheduling import messages as m
from hostler.fleet.scheduling.rules import Rules
from hostler.fleet.scheduling.scheduler import next_wake, step
from hostler.fleet.scheduling.swift import granted, released

TEND_S = 5.0  # between measurements of residents and readings of the budget


class FleetOwner(Operated):
    """See :class:`hostler.fleet.protocol.Fleet`. Use :meth:`run` first; it lives as long as the fleet."""

    def __init__(
        self,
        *,
        runner: Runner,
        preparer: Preparer,
        budget: Budget,
        experience: Experience,
        limits: LimitSettings,
        bus: Bus,
        clock: Clock,
        eyes: Eyes | None = None,
    ) -> None:
        self._preparer = preparer
        self._bus = bus
        self._clock = clock
        self.configure(limits)
        self._state = m.State()
        self._inbox: deque[m.Message] = deque()
        self._telling = False
        self._turned, self._configured = float("-inf"), 0
        self._tickets: dict[int, QueuedTicket] = {}
        self._last_ticket = 0
        self._held: dict[str, HeldLease] = {}
        self._crowded = float("-inf")
        self._recent: str | None = None
        self._specs: dict[str, LoadSpec] = {}
        around = Around(self._free_on, self._idle_on)
        watch = Watch(eyes or Eyes(), bus, lambda: bool(self._held))
        leased = (self._busy_leases, lambda: self._limits, self._doom)
        yard = Yard(self._tell, around, self._kinds, watch, self._waiting_for, *leased)
        self._runs = Runs(runner, experience, bus, clock, yard)
        self._preparing = Preparing(runner, experience, bus)
        prompts = experience.prompts
        saved = prompts.count if prompts else lambda _: 0
        self._parking = Parking(experience.measurements.get, saved, preparer.disk)
        self.budget = budget
        self._group: anyio.abc.TaskGroup | None = None
        self._nudge = anyio.Event()
        self._changed = anyio.Event()
        self._watchers = 0

    def configure(self, limits: LimitSettings) -> None:
        """Take other limits from now on."""
        self._limits = limits
        self._rules = Rules(
            queue=limits.queue,
            starvation_s=limits.starvation_s,
            load_tries=limits.load_tries,
            backoff_s=limits.backoff_s,
            residency=limits.residency,
            loads=limits.loads,
            terms=self._preparer.terms(),
        )

    async def run(self, *, task_status: anyio.abc.TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Own the fleet until cancelled; then every engine is stopped and reaped before this returns."""
        async with anyio.create_task_group() as group:
            self._group = group
            self._runs.group = group
            task_status.started()
            await self._tend()

    async def _tend(self) -> None:
        """Turn the clock for the scheduler: TTLs, back-off, starvation, memory."""
        measured = self._clock.monotonic()
        while True:
            wake = next_wake(self._state, self._rules, self._turned)
            due = measured + TEND_S if wake is None else min(measured + TEND_S, wake)
            self._nudge = anyio.Event()
            with anyio.move_on_after(max(0.0, due - self._clock.monotonic()) + 0.001):
                await self._nudge.wait()
                continue
            if self._clock.monotonic() >= measured + TEND_S:
                await self._measure()
                measured = self._clock.monotonic()
            self._tell(m.Tick())

    async def _measure(self) -> None:
        held = await self._runs.measure()
        await self._look()
        await self._parking.look()
        for instance, sizes in held.items():
            self._tell(m.Measured(instance, sizes))

    # --- the one place where state changes --------------------------------------------------------------

    def _tell(self, message: m.Message) -> None:
        """Handle ``message``; one told while another is handled follows right after it."""
        self._inbox.append(message)
        if self._telling:
            return
        self._telling = True
        try:
            while self._inbox:
                self._handle(self._inbox.popleft())
        finally:
            self._telling = False

    def _handle(self, message: m.Message) -> None:
        situation = self._at()
        self._turned = situation.now
        self._state, effects = step(self._state, message, situation)
        for effect in effects:
            self._carry_out(effect)
        if isinstance(message, m.Leave):
            self._tickets.pop(message.ticket, None)
        if isinstance(message, m.Gone):
            self._lose(message.instance, message.error)
            self._parking.gone(message.instance, situation.now)
            self._tasks.start_soon(self._parking.look)
        if self._waits_for_time(message):
            self._nudge.set()
        if self._watchers:
            self._changed.set()
            self._changed = anyio.Event()

    def _lose(self, instance: str, why: HostlerError | None) -> None:
        for lease in [held for held in self._held.values() if held.instance == instance]:
            lease.lose(why)

    def _doom(self, instance: str, why: EngineLost) -> None:
        """The instance is about to be ended, or has and its memory is waited for: its requests hear why."""
        for lease in [held for held in self._held.values() if held.instance == instance]:
            lease.doom(why)

    def _waits_for_time(self, message: m.Message) -> bool:
        """Whether the next wake may have come nearer; the common grant and release must stay cheap."""
        if isinstance(message, m.Release):
            return bool(self._state.waiting) or any(i.idle_bound_s is not None for i in self._state.instances.values())
        return bool(self._state.waiting) if isinstance(message, m.Ask) else not isinstance(message, m.Tick)

    def _carry_out(self, effect: m.Effect) -> None:
        match effect:
            case m.Grant(ticket, instance):
                self._grant(ticket, instance)
            case m.Refuse(ticket, error):
                if waiting := self._tickets.pop(ticket, None):
                    waiting.refuse(error)
            case m.Prepare(profile):
                self._tasks.start_soon(self._prepare, profile)
            case m.Start(instance, profile, reason):
                self._start(instance, profile, reason)
            case m.Stop(instance, reason):
                self._show(instance, "stopping", reason)
                self._runs.stop(instance)
            case m.Close(instance, reason):
                self._show(instance, "draining", reason)
            case m.Bring(profile, back):
                self._enter(Asked(profile, "", "", "", self._clock.monotonic()), lease=False, mate=True, back=back)
            case m.Evict(profile, victims):
                self._bus.publish(Swap(profile=profile, evicted=victims, reason="room"))
            case m.Fail(profile, error):
                self._bus.publish(views.failed(profile, error))

    @property
    def _tasks(self) -> anyio.abc.TaskGroup:
        if self._group is None:
            raise RuntimeError("the fleet is not running")
        return self._group

    def _show(self, instance: str, state: InstanceState, reason: str = "") -> None:
        if run := self._runs.get(instance):
            profile = run.spec.profile
            self._bus.publish(InstanceChanged(instance=instance, profile=profile, state=state, reason=reason))

    async def _prepare(self, profile: str) -> None:
        seen = (-1, -1)
        try:
            # What was prepared under another configuration, or beside fewer instances, is worth nothing.
            while seen != (self._configured, self._state.next_instance):
                seen = (self._configured, self._state.next_instance)
                await self._preparer.probe(profile)
                await self._look()
                await self._parking.look()
                spec, want = await self._preparing.prepare(profile, self._preparer)
        except HostlerError as error:
            self._tell(m.PrepareFailed(profile, error))
            return
        self._specs[profile] = spec
        want = await self._parking.reading(self._parking.expected(profile, want), spec.model.files)
        self._tell(m.Prepared(profile, want))
        await self._preparing.read_ahead(spec, self.budget.spare)

    async def _look(self) -> None:
        """Read the devices anew; in a thread, because drivers can be slow."""
        await anyio.to_thread.run_sync(self.look)

    def _start(self, instance: str, profile: str, reason: str) -> None:
        spec = msgspec.structs.replace(self._specs.pop(profile), instance=instance)
        key = self._state.instances[instance].key
        self._runs.start(spec, key, self._parking.loads(instance, profile, key, spec.model.files))
        self._show(instance, "starting", reason)

    def _grant(self, ticket: int, instance: str) -> None:
        waiting = self._tickets.pop(ticket)
        waiting.grant(self._lease(waiting.asked, instance))

    def _lease(self, asked: Asked, instance: str) -> HeldLease:
        run = self._runs.get(instance)
        if run is None or run.endpoint is None:
            raise RuntimeError(f"{instance} was granted but is not ready")
        now = self._clock.monotonic()
        load_s = max(0.0, min(run.ready_at, now) - max(run.began, asked.since)) if asked.since < run.ready_at else 0.0
        lease = HeldLease(self, asked, instance, run.endpoint, now, load_s)
        lease.beside = run.spec.slots > 1 and run.spec.engine.kind == "llamacpp"
        if not asked.api:
            lease.ended = True  # an operator's load holds nothing
            return lease
        self._recent = asked.profile
        self._held[asked.request] = lease
        lease.enter(run.seat, asked.conversation)
        if len(self._held) > 1:
            self._crowded = now
        waited_s = now - asked.since
        self._bus.publish(
            LeaseGranted(request=asked.request, profile=asked.profile, instance=instance, waited_s=waited_s)
        )
        return lease

    # --- leases -----------------------------------------------------------------------------------------

    def lease_now(
        self, profile: str, request: str, principal: str, api: str, *, conversation: Conversation | None = None
    ) -> HeldLease | None:
        now = self._clock.monotonic()
        grant = None if self._telling else granted(self._state, profile, now)
        if grant is None:
            return None
        self._state, instance = grant
        asked = Asked(profile, request, principal, api, now)
        asked.conversation = conversation
        return self._lease(asked, instance)

    def ask(
        self,
        profile: str,
        request: str,
        principal: str,
        api: str,
        *,
        priority: Priority | None = None,
        conversation: Conversation | None = None,
    ) -> QueuedTicket:
        asked = Asked(profile, request, principal, api, self._clock.monotonic())
        asked.conversation = conversation
        asked.batch = self._rules.of(profile).batch if priority is None else priority == "batch"
        ticket = self._enter(asked, lease=True)
        if (error := ticket.refusal()) is not None:
            raise error
        if ticket.number in self._tickets:
            ticket.place = self._position(ticket.number)
            self._bus.publish(RequestQueued(request=request, profile=profile, position=ticket.place))
        return ticket

    def _enter(
        self, asked: Asked, *, lease: bool, urgent: bool = False, mate: bool = False, back: int | None = None
    ) -> QueuedTicket:
        self._last_ticket = number = self._last_ticket + 1
        ticket = QueuedTicket(self, number, asked)
        self._tickets[number] = ticket
        waiter = m.Waiter(
            ticket=number,
            profile=asked.profile,
            since=asked.since,
            lease=lease,
            urgent=urgent,
            batch=asked.batch,
            principal=asked.principal,
            mate=mate,
            back=back,
        )
        self._tell(m.Ask(waiter=waiter, forgive=not lease and not mate))
        return ticket

    def leave(self, ticket: QueuedTicket) -> None:
        """The ticket's holder is gone."""
        if ticket.number in self._tickets:
            self._tell(m.Leave(ticket.number))

    def doubt(self, lease: HeldLease) -> None:
        """Its instance broke the connection: perhaps it is gone, and nobody has seen that yet."""
        self._runs.doubt(lease.instance)

    def release(self, lease: HeldLease, status: int, *, abandoned: Abandoned | None) -> None:
        """The lease is over; an abandoned one gives its slot back when the engine has really stopped."""
        self._held.pop(lease.request, None)
        now = self._clock.monotonic()
        self._bus.publish(
            LeaseEnded(
                request=lease.request,
                profile=lease.profile,
                instance=lease.instance,
                status=status,
                held_s=now - lease.granted,
            )
        )
        if lease.endpoint.remote is not None and status < 499 and (run := self._runs.get(lease.instance)):
            run.trouble = ""
        if abandoned is not None and self._group is not None:
            self._group.start_soon(self._release_when_free, lease, abandoned)
        else:
            lease.leave_slot()
            held_s = now - lease.granted if status < 400 else None
            message = m.Release(lease.instance, healthy=status < 500, redo_s=lease.redo_s, held_s=held_s)
            state = None if self._telling or self._watchers else released(self._state, message, now)
            if state is None:
                self._tell(message)
            else:
                self._state = state

    async def _release_when_free(self, lease: HeldLease, abandoned: Abandoned) -> None:
        instance = lease.instance
        freed = await self._runs.slot_freed(instance, abandoned, lambda: self._busy_leases(instance))
        if not freed:
            self._tell(m.Retire(instance, "a slot stayed busy after its client had left"))
        lease.leave_slot()
        self._tell(m.Release(instance, healthy=freed))

    def _busy_leases(self, instance: str) -> int:
        return sum(1 for lease in self._held.values() if lease.instance == instance)

    def note_speed(self, lease: HeldLease, tokens_per_s: float, timing: Timing | None) -> None:
        """The engine reported its generation speed for one request.

        Several at once share a device: only what was alone from grant to end says how quick an instance is.
        """
        self._runs.note_speed(lease.instance, tokens_per_s)
        if timing is not None and self._crowded < lease.granted:
            self._runs.note_timing(lease.instance, timing)

    # --- the configuration and the end ------------------------------------------------------------------

    def reconfigured(self) -> None:
        """Profiles changed: instances of those that differ drain, the others stay."""
        self._configured += 1
        self._rules = msgspec.structs.replace(self._rules, terms=self._preparer.terms())
        wanted = self._preparer.wanted()
        self._runs.forget_others({key for key, _, _ in wanted.values()})
        self._parking.keep_only({name: key for name, (key, _, _) in wanted.items()})
        self._tell(m.Configured(wanted))

    async def drain(self, drain_s: float) -> None:
        """Take no new work and wait, at most ``drain_s`` seconds, until what was accepted is done."""
        self._tell(m.Drain())
        with anyio.move_on_after(drain_s):
            await self._until(lambda: not self._held and not self._state.waiting)

    def cut_off(self) -> None:
        """End every request that still runs or waits."""
        for lease in list(self._held.values()):
            lease.cancel()
        for ticket in list(self._tickets.values()):
            self._tell(m.Leave(ticket.number))
            ticket.refuse(Draining("The gateway stopped before the request got its turn."))
