"""Any sequence of events keeps the fleet's promises; hypothesis looks for one that does not."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from msgspec.structs import replace

from hostler.engines.state import Ready, Starting, Stopping
from hostler.errors import EngineLost, LoadFailed
from hostler.fleet.scheduling import messages as m
from hostler.fleet.scheduling.growth import IDLE_S, REASON, ROOM_S
from hostler.fleet.scheduling.rules import Rules, Terms
from hostler.fleet.scheduling.scheduler import next_wake, step
from hostler.fleet.scheduling.swift import granted, released

NEEDS = {"a": 3, "b": 4, "c": 6, "d": 9, "e": 1, "huge": 11}
BUDGET = 10
TERMS = {
    "a": Terms(group="pair", together=True),
    "b": Terms(group="pair", together=True, batch=True),
    "c": Terms(group="either", exclusive=True),
    "e": Terms(group="either", exclusive=True, batch=True),
}
RULES = Rules(queue=8, starvation_s=30.0, load_tries=3, backoff_s=2.0, residency=2, loads=2, terms=TERMS)
READS = {name: m.Reads("slow", 0.6) for name in "abe"}
profiles = st.sampled_from(sorted(NEEDS))


class FleetMachine(RuleBasedStateMachine):
    """A world that answers the scheduler's effects in any order it likes."""

    def __init__(self) -> None:
        super().__init__()
        self.state, self.now, self.tickets = m.State(), 0.0, 0
        self.open: dict[int, m.Waiter] = {}
        self.leases: dict[int, str] = {}
        self.to_prepare: list[str] = []
        self.brought: list[m.Ask] = []
        self.slots = 2
        self.grown: set[str] = set()  # instances that were loaded for no other reason
        self.grew: dict[str, list[float]] = {}  # when, by profile

    def tell(self, message: m.Message) -> None:
        before = self.state
        at = m.Situation(now=self.now, budget={"host": BUDGET}, rules=RULES)
        self.state, effects = step(self.state, message, at)
        self.as_swiftly(before, message, effects)
        for effect in effects:
            self.carry_out(effect, before, message)
        while self.brought:
            self.tell(self.brought.pop(0))

    def as_swiftly(self, before: m.State, message: m.Message, effects: list[m.Effect]) -> None:
        """A lease that is granted, or ended, without a step comes to the same."""
        match message:
            case m.Ask(waiter=waiter) if (
                waiter.lease and (grant := granted(before, waiter.profile, self.now)) is not None
            ):
                swift, done = grant[0], [m.Grant(waiter.ticket, grant[1])]
                assert done[0] in effects
            case m.Release() if (ended := released(before, message, self.now)) is not None:
                swift, done = ended, []
            case _:
                return
        assert effects != done or swift == self.state

    def carry_out(self, effect: m.Effect, before: m.State, message: m.Message) -> None:
        match effect:
            case m.Grant(ticket, instance):
                waiter = self.open.pop(ticket)
                assert not self.state.instances[instance].doubted
                assert self.state.instances[instance].profile == waiter.profile
                if waiter.lease:
                    self.leases[ticket] = instance
            case m.Refuse(ticket, _):
                self.open.pop(ticket)
            case m.Prepare(profile):
                assert any(w.profile == profile for w in self.open.values()) or profile == self.state.growing
                self.to_prepare.append(profile)
            case m.Start(instance, profile, reason):
                assert any(w.profile == profile for w in self.open.values())
                self.grown |= {instance} if reason == REASON else set()
            case m.Evict(profile, victims):
                assert any(w.profile == profile and w.back is None for w in before.waiting + self.state.waiting)
                assert not {h.profile for h in self.state.holds.values()} & set(victims)
                assert not {profile for profile, pin in self.state.pins.items() if pin} & set(victims)
            case m.Stop(instance, reason):
                if reason == REASON:
                    self.grows(before.instances[instance], before)
                told = isinstance(message, m.Unload) and message.now
                assert told or instance not in self.leases.values()
                assert instance in before.instances
            case m.Bring(profile, back):
                self.bring(profile, back)
            case _:
                pass

    def grows(self, instance: m.Instance, before: m.State) -> None:
        """Who is loaded again with room that is back was in nobody's way, and is not soon loaded again for that."""
        assert not before.waiting
        assert not before.draining
        assert all(isinstance(i.state, Ready) for i in before.instances.values())
        assert not instance.pin
        assert instance.profile not in {h.profile for h in before.holds.values()}
        assert self.now - instance.last_used >= IDLE_S
        assert instance.id not in self.grown
        times = self.grew.setdefault(instance.profile, [])
        assert not times or self.now - times[-1] >= ROOM_S * 2 ** min(len(times), 4)
        times.append(self.now)

    def bring(self, profile: str, back: int | None) -> None:
        """As the owner does: told once the message is handled."""
        self.tickets += 1
        waiter = m.Waiter(ticket=self.tickets, profile=profile, since=self.now, lease=False, mate=True, back=back)
        self.open[self.tickets] = waiter
        self.brought.append(m.Ask(waiter=waiter))

    @rule(
        profile=profiles,
        lease=st.booleans(),
        urgent=st.booleans(),
        forgive=st.booleans(),
        key=st.sampled_from(["anna", "ben"]),
    )
    def ask(self, profile: str, lease: bool, urgent: bool, forgive: bool, key: str) -> None:
        self.tickets += 1
        waiter = m.Waiter(
            ticket=self.tickets,
            profile=profile,
            since=self.now,
            lease=lease,
            urgent=urgent and not lease,
            batch=RULES.of(profile).batch and lease,
            principal=key,
        )
        self.open[self.tickets] = waiter
        self.tell(m.Ask(waiter=waiter, forgive=forgive and not lease))

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        ticket = data.draw(st.sampled_from(sorted(self.open)))
        self.open.pop(ticket)
        self.tell(m.Leave(ticket))

    @precondition(lambda self: self.leases)
    @rule(data=st.data(), healthy=st.booleans())
    def release(self, data: st.DataObject, healthy: bool) -> None:
        ticket = data.draw(st.sampled_from(sorted(self.leases)))
        self.tell(m.Release(self.leases.pop(ticket), healthy))

    @precondition(lambda self: self.to_prepare)
    @rule(
        works=st.booleans(),
        pin=st.sampled_from([False, False, False, True]),
        clears=st.booleans(),
        full=st.sampled_from([None, 1, 4]),
    )
    def prepared(self, works: bool, pin: bool, clears: bool, full: int | None) -> None:
        """``full`` is what a better plan would take beside; to grow is to get some of that."""
        profile = self.to_prepare.pop(0)
        if not works:
            self.tell(m.PrepareFailed(profile, LoadFailed("no")))
            return
        away = ("host",) if clears else ()
        more = None if full is None else {"host": NEEDS[profile] + full}
        want = self.want(profile, pin=pin, ttl_s=None if full else 60.0, clears=away, full=more)
        self.tell(m.Prepared(profile, want))

    def want(self, profile: str, **more: object) -> m.Want:
        """Planned for one more than it needs at least, where it is to grow."""
        need = NEEDS[profile] + (profile == self.state.growing)
        plain = m.Want(key="k", need={"host": need}, slots=self.slots, pin=False, ttl_s=None, reads=READS.get(profile))
        return replace(plain, **more)

    @precondition(lambda self: self.state.instances)
    @rule(data=st.data(), fails=st.booleans(), again=st.booleans())
    def engine(self, data: st.DataObject, fails: bool, again: bool) -> None:
        """An engine makes its next move: loads, fails, ends because it was told to, or crashes."""
        instance = self.state.instances[data.draw(st.sampled_from(sorted(self.state.instances)))]
        if isinstance(instance.state, Starting) and not fails:
            self.tell(m.Loaded(instance.id, instance.holds))
        elif isinstance(instance.state, Starting):
            self.tell(m.Gone(instance.id, LoadFailed("no"), again))
        elif isinstance(instance.state, Stopping) or fails:
            stopped = isinstance(instance.state, Stopping)
            self.leases = {t: i for t, i in self.leases.items() if i != instance.id}
            self.tell(m.Gone(instance.id, None if stopped else EngineLost("crash")))

    @precondition(lambda self: self.leases)
    @rule(data=st.data(), trusted=st.booleans())
    def a_request_loses_its_instance(self, data: st.DataObject, trusted: bool) -> None:
        """As the gateway does: the instance is doubted before the lease ends."""
        ticket = data.draw(st.sampled_from(sorted(self.leases)))
        instance = self.leases[ticket]
        self.tell(m.Doubted(instance))
        self.tell(m.Release(self.leases.pop(ticket), False))
        if trusted:
            self.tell(m.Trusted(instance))

    @rule(seconds=st.sampled_from([0.1, 2.0, 31.0, 100.0, 1000.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        self.tell(m.Tick())

    @rule(profile=profiles, full=st.sampled_from([1, 4]))
    def one_alone_has_an_easy_time(self, profile: str, full: int) -> None:
        """What is wanted is there, nobody comes for a while, and somebody who was planned small could have more."""
        self.settle()
        self.time_passes(3600.0)
        self.ask(profile, lease=True, urgent=False, forgive=False, key="anna")
        for _ in range(3):
            self.settle({"host": NEEDS[profile] + full})
        self.time_passes(70.0 * 2 ** len(self.grew.get(profile, ())))
        self.time_passes(70.0 * 2 ** len(self.grew.get(profile, ())))

    @rule(profile=profiles, now=st.booleans())
    def unload(self, profile: str, now: bool) -> None:
        self.tell(m.Unload(profile, now, "asked to"))

    @rule(profile=profiles, name=st.sampled_from(["h1", "h2"]), seconds=st.sampled_from([1.0, 40.0]))
    def hold(self, profile: str, name: str, seconds: float) -> None:
        known = self.state.holds.get(name)
        self.tell(m.Hold(name, profile if known is None else known.profile, self.now + seconds))

    @rule(name=st.sampled_from(["h1", "h2"]))
    def unhold(self, name: str) -> None:
        self.tell(m.Unhold(name))

    @rule(profile=profiles, pin=st.booleans())
    def pin(self, profile: str, pin: bool) -> None:
        self.tell(m.Pin(profile, pin))

    @rule(profile=profiles, seconds=st.sampled_from([None, 0.0, 40.0]))
    def stay(self, profile: str, seconds: float | None) -> None:
        self.tell(m.Stay(profile, seconds))

    @rule(profile=profiles)
    def unload_others(self, profile: str) -> None:
        self.tell(m.UnloadOthers(profile, "switch"))

    @invariant()
    def never_over_the_budget(self) -> None:
        assert sum(i.holds["host"] for i in self.state.instances.values()) <= BUDGET

    @invariant()
    def no_more_load_at_once_than_the_limit_and_their_disk_allow(self) -> None:
        loading = [i for i in self.state.instances.values() if isinstance(i.state, Starting)]
        shares = [i.reads.share for i in loading if i.reads is not None]
        assert len(loading) <= 2
        assert sum(shares) <= 1.0 or len(shares) == 1

    @invariant()
    def one_live_instance_per_profile(self) -> None:
        live = [i.profile for i in self.state.instances.values() if isinstance(i.state, (Starting, Ready))]
        assert len(live) == len(set(live))

    @invariant()
    def what_excludes_each_other_is_never_loaded_at_once(self) -> None:
        there = [i for i in self.state.instances.values() if not isinstance(i.state, Stopping)]
        assert not {"c", "e"} <= {i.profile for i in there}

    @invariant()
    def nobody_is_held_for_ever(self) -> None:
        wake = next_wake(self.state, RULES, self.now - 0.001)
        assert all(wake is not None and wake <= hold.until for hold in self.state.holds.values())

    @invariant()
    def the_scheduler_knows_every_lease(self) -> None:
        for instance in self.state.instances.values():
            held = sum(1 for i in self.leases.values() if i == instance.id)
            assert instance.leases == held <= instance.slots

    @invariant()
    def waiters_are_those_that_were_not_answered(self) -> None:
        assert {w.ticket for w in self.state.waiting} == set(self.open)

    def teardown(self) -> None:
        """From any state, when engines do as they are told, every waiter is answered."""
        for _ in range(400):
            if not self.open:
                return
            self.settle()
        raise AssertionError(f"still waiting: {self.open} in {self.state}")

    def settle(self, full: dict[str, int] | None = None) -> None:
        for ticket in list(self.leases):
            self.tell(m.Release(self.leases.pop(ticket), True))
        while self.to_prepare:
            profile = self.to_prepare.pop(0)
            self.tell(m.Prepared(profile, self.want(profile, full=full)))
        for instance in list(self.state.instances.values()):
            if instance.doubted:
                self.tell(m.Trusted(instance.id))
            if isinstance(instance.state, Starting):
                self.tell(m.Loaded(instance.id, instance.holds))
            elif isinstance(instance.state, Stopping):
                self.tell(m.Gone(instance.id, None))
        wake = next_wake(self.state, RULES, self.now)
        self.now = max(self.now + 0.5, wake or 0.0)
        self.tell(m.Tick())


FleetMachine.TestCase.settings = settings(max_examples=150, stateful_step_count=60, deadline=None)
TestFleet = FleetMachine.TestCase
