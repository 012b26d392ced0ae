"""What the fleet's owner shows of itself, and what others decide by; nothing here changes its state."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec.structs import replace

from hostler.clock import Clock
from hostler.engines.protocol import Endpoint
from hostler.fleet import views
from hostler.fleet.learning.defects import UNKNOWN, Defect
from hostler.fleet.leases import HeldLease, QueuedTicket
from hostler.fleet.memory import Budget
from hostler.fleet.parked import Parking
from hostler.fleet.preparer import Preparer
from hostler.fleet.profiles.planning import Resident
from hostler.fleet.protocol import ProfileStanding, Standing
from hostler.fleet.runs import Runs
from hostler.fleet.scheduling import messages as m
from hostler.fleet.scheduling.explain import explain, in_the_way
from hostler.fleet.scheduling.forecast import forecast
from hostler.fleet.scheduling.rules import Rules
from hostler.fleet.scheduling.scheduler import live
from hostler.fleet.scheduling.turn import held, idle, stays, total
from hostler.hardware.facts import HOST, Kind
from hostler.placement.wish import Room
from hostler.wire.management import Instance, RequestInFlight


class Shown:
    """The views of a :class:`hostler.fleet.owner.FleetOwner`, which keeps what they read."""

    _state: m.State
    _rules: Rules
    _runs: Runs
    _parking: Parking
    _tickets: dict[int, QueuedTicket]
    _held: dict[str, HeldLease]
    _recent: str | None
    _preparer: Preparer
    _clock: Clock
    budget: Budget

    def counts(self) -> tuple[int, int]:
        """How many requests run, and how many wait; what an operator loads is none."""
        return len(self._held), sum(waiter.lease for waiter in self._state.waiting)

    def standing(self, ticket: QueuedTicket) -> Standing:
        """Where ``ticket`` stands now."""
        at = self._at()
        instance = live(self._state, ticket.asked.profile)
        run = self._runs.get(instance.id) if instance is not None else None
        stage, fraction = run.progress(at.now) if run is not None and run.endpoint is None else ("queued", None)
        stands = forecast(self._state, ticket.number, at)
        return Standing(stands.place, stage, fraction, at.now - ticket.asked.since, stands.wait_s)

    def _position(self, ticket: int) -> int:
        return forecast(self._state, ticket, self._at()).place

    def _at(self) -> m.Situation:
        """What is outside the state, at this moment."""
        budget = self.budget
        return m.Situation(now=self._clock.monotonic(), budget=budget.bytes, rules=self._rules, slack=budget.slack)

    def instances(self) -> list[Instance]:
        now = self._clock.monotonic()
        reasons = explain(self._state, self._rules, now)
        return [
            replace(
                views.instance(i, run, now),
                why=reasons[i.id].why,
                leaves=reasons[i.id].leaves,
                notes=self._runs.notes(run),
            )
            for i in self._state.instances.values()
            if (run := self._runs.get(i.id))
        ]

    def requests(self) -> list[RequestInFlight]:
        at = self._at()
        return [views.running(lease, at.now) for lease in self._held.values()] + [
            self._queued(ticket, at) for ticket in self._tickets.values() if ticket.asked.api
        ]

    def _queued(self, ticket: QueuedTicket, at: m.Situation) -> RequestInFlight:
        stands = forecast(self._state, ticket.number, at)
        first = in_the_way(self._state, ticket.number, at)
        queued = views.queued(ticket.asked, at.now)
        return replace(queued, place=stands.place or None, wait_s=stands.wait_s, after=first)

    def profile(self, name: str) -> ProfileStanding:
        waiting = sum(1 for w in self._state.waiting if w.profile == name)
        instance = next((i for i in self._state.instances.values() if i.profile == name), None)
        run = self._runs.get(instance.id) if instance is not None else None
        pin = self._state.pins.get(name)
        if instance is not None and run is not None:
            return replace(views.resident(instance, run, waiting), pin=pin)
        key = self._preparer.key(name)
        failure = self._state.failures.get(name)
        shown = views.absent(self._runs.measurements.get(key), failure, waiting, self._clock.monotonic())
        return replace(shown, pin=pin, parked=views.parked(self._parking.of(name), self._clock.monotonic()))

    def recent(self) -> str | None:
        return self._recent

    def endpoint(self, profile: str) -> Endpoint | None:
        """Where the ready instance of a profile listens, for those who only look; None while there is none."""
        instance = live(self._state, profile)
        run = self._runs.get(instance.id) if instance is not None else None
        return None if run is None else run.endpoint

    def _waiting_for(self, profile: str) -> set[str]:
        """The principals whose requests wait for that profile."""
        asked = [ticket.asked for ticket in self._tickets.values()]
        return {each.principal for each in asked if each.api and each.profile == profile}

    # --- for those who decide ---------------------------------------------------------------------------

    def look(self) -> dict[str, Room]:
        """Read the devices anew; the room on each as if nothing of ours were loaded. May be called in any thread."""
        holds = total(instance.holds for instance in self._state.instances.values())
        self.budget.refresh(self._runs.pids(), holds)
        return self.budget.rooms

    def residents(self) -> list[Resident]:
        """What is loaded and stays unless it is asked to leave. May be called in any thread."""
        return [
            Resident(profile=i.profile, bytes=i.holds, pinned=i.pin, idle=self._free(i), apart=self._apart(i.profile))
            for i in self._state.instances.values()
            if stays(i)
        ]

    def _free(self, instance: m.Instance) -> bool:
        return idle(instance) and not held(self._state, instance.profile)

    def _apart(self, profile: str) -> str:
        terms = self._rules.of(profile)
        return terms.group if terms.exclusive else ""

    def context(self, profile: str) -> int | None:
        """Tokens for one request of the profile's instance; None when it has none."""
        instance = live(self._state, profile)
        run = self._runs.get(instance.id) if instance is not None else None
        return None if run is None else run.spec.context

    def sound(self, profile: str) -> frozenset[Defect]:
        """The defects that the engine of the profile's instance is known not to have; none where there is none."""
        instance = live(self._state, profile)
        run = self._runs.get(instance.id) if instance is not None else None
        return UNKNOWN if run is None else run.sound

    def _free_on(self, device: str) -> int | None:
        """Bytes free on the device at this moment."""
        self.look()
        reading = self.budget.readings.get(device)
        return None if reading is None else reading.free

    def _idle_on(self, device: str) -> dict[str, int]:
        """Bytes that profiles hold on the device which nobody uses, waits for or has pinned."""
        wanted = {waiter.profile for waiter in self._state.waiting}
        return {
            i.profile: size
            for i in self._state.instances.values()
            if (size := i.holds.get(device, 0)) and self._free(i) and i.profile not in wanted
        }

    def _kinds(self) -> Mapping[str, Kind]:
        """What each device is."""
        readings = self.budget.readings
        return {name: HOST if each.device is None else each.device.kind for name, each in readings.items()}
