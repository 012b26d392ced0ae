"""In a world where engines load, answer and stop within known times, nobody waits longer than the rules allow.

Time is simulated: arrivals, answers, loads and stops take what hypothesis draws, and the scheduler decides the rest.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from itertools import count

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from hostler.engines.state import Ready, Starting, Stopping
from hostler.fleet.scheduling import messages as m
from hostler.fleet.scheduling.scheduler import next_wake, step

STARVATION_S = 10.0
LOAD_S, ANSWER_S, STOP_S, PREPARE_S = 4.0, 6.0, 1.0, 0.5
NEEDS = {"a": 5, "b": 5, "c": 4, "d": 9}
BUDGET = 10
RULES = m.Rules(queue=1000, starvation_s=STARVATION_S, load_tries=3, backoff_s=1.0)


class Arrival(msgspec.Struct, frozen=True):
    """A request ``after`` the one before it, that takes ``answer_s``; it leaves if it waits for ``patience_s``."""

    after: float
    profile: str
    answer_s: float
    key: str
    patience_s: float | None


ARRIVALS = st.lists(
    st.builds(
        Arrival,
        after=st.sampled_from([0.0, 0.0, 0.2, 1.0, 3.0]),
        profile=st.sampled_from(["a", "a", "a", "b", "c", "d"]),
        answer_s=st.floats(0.1, ANSWER_S),
        key=st.sampled_from(["anna", "ben"]),
        patience_s=st.sampled_from([None, None, None, None, 2.0]),
    ),
    min_size=1,
    max_size=60,
)
SPEEDS = st.fixed_dictionaries({name: st.floats(0.1, LOAD_S) for name in NEEDS})


class Simulated:
    """The fleet's owner and its engines, in simulated time."""

    def __init__(self, load_s: dict[str, float], slots: int) -> None:
        self.load_s, self.slots = load_s, slots
        self.state, self.now = m.State(), 0.0
        self.waiting: dict[int, tuple[m.Waiter, float, int]] = {}
        self.waits: list[tuple[str, float, int]] = []
        self.refused: list[m.Refuse] = []
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._order = count()
        self._tickets = count(1)

    def at(self, when: float, act: Callable[[], None]) -> None:
        heapq.heappush(self._due, (when, next(self._order), act))

    def tell(self, message: m.Message) -> None:
        at = m.Situation(now=self.now, budget={"host": BUDGET}, rules=RULES)
        self.state, effects = step(self.state, message, at)
        assert sum(i.holds["host"] for i in self.state.instances.values()) <= BUDGET
        live = [i.profile for i in self.state.instances.values() if isinstance(i.state, (Starting, Ready))]
        assert len(live) == len(set(live))
        for effect in effects:
            self.carry_out(effect)

    def carry_out(self, effect: m.Effect) -> None:
        match effect:
            case m.Grant(ticket, instance):
                waiter, answer_s, ahead = self.waiting.pop(ticket)
                self.waits.append((waiter.profile, self.now - waiter.since, ahead))
                self.at(self.now + answer_s, lambda: self.tell(m.Release(instance, True)))
            case m.Refuse(ticket, _):
                self.waiting.pop(ticket)
                self.refused.append(effect)
            case m.Prepare(profile):
                want = m.Want(key="k", need={"host": NEEDS[profile]}, slots=self.slots, pin=False, ttl_s=None)
                self.at(self.now + PREPARE_S, lambda: self.tell(m.Prepared(profile, want)))
            case m.Start(instance, profile):
                holds = {"host": NEEDS[profile]}
                self.at(self.now + self.load_s[profile], lambda: self.tell(m.Loaded(instance, holds)))
            case m.Stop(instance, _):
                assert not self.state.instances[instance].leases
                self.at(self.now + STOP_S, lambda: self.tell(m.Gone(instance, None)))
            case _:
                pass

    def arrive(self, arrival: Arrival) -> None:
        ticket = next(self._tickets)
        waiter = m.Waiter(ticket=ticket, profile=arrival.profile, since=self.now, principal=arrival.key)
        ahead = sum(1 for other, _, _ in self.waiting.values() if other.profile == arrival.profile)
        self.waiting[ticket] = (waiter, arrival.answer_s, ahead)
        if arrival.patience_s is not None:
            self.at(self.now + arrival.patience_s, lambda: self.leave(ticket))
        self.tell(m.Ask(waiter=waiter))

    def leave(self, ticket: int) -> None:
        if self.waiting.pop(ticket, None) is not None:
            self.tell(m.Leave(ticket))

    def run(self, arrivals: list[Arrival]) -> None:
        """Until nothing is due any more."""
        when = 0.0
        for arrival in arrivals:
            when += arrival.after
            self.at(when, lambda arrival=arrival: self.arrive(arrival))
        for _ in range(20_000):
            wake = next_wake(self.state, RULES, self.now) if self.waiting else None
            if not self._due and wake is None:
                return
            if wake is not None and (not self._due or wake < self._due[0][0]):
                self.now = wake
                self.tell(m.Tick())
                continue
            self.now, _, act = heapq.heappop(self._due)
            act()
        raise AssertionError("it never comes to rest")


def allowed(ahead: int) -> float:
    """Longest wait behind ``ahead`` others of the same profile.

    After its bound a waiter goes before all that come later. Each other profile that starves as long may come first:
    its instance empties, stops, and the next is prepared and loaded, and answers what a load is owed. In the worst case
    each of those ahead in the same line needs such a round of its own.
    """
    turn = 2 * ANSWER_S + STOP_S + PREPARE_S + LOAD_S
    return max(STARVATION_S, 3 * LOAD_S) + (ahead + 1) * len(NEEDS) * turn


@settings(max_examples=120, deadline=None)
@given(arrivals=ARRIVALS, load_s=SPEEDS, slots=st.sampled_from([1, 2]))
def test_every_wait_ends_within_its_bound(arrivals: list[Arrival], load_s: dict[str, float], slots: int) -> None:
    world = Simulated(load_s, slots)
    world.run(arrivals)
    assert not world.waiting
    assert not world.refused
    assert all(waited <= allowed(ahead) for _, waited, ahead in world.waits)
    assert all(not isinstance(each.state, Stopping) for each in world.state.instances.values())


@settings(max_examples=60, deadline=None)
@given(load_s=SPEEDS, answer_s=st.floats(0.5, ANSWER_S), gap=st.floats(0.05, 0.5))
def test_a_crowd_for_one_profile_does_not_starve_another(load_s: dict[str, float], answer_s: float, gap: float) -> None:
    """`a` is asked without end; who asks for `d`, which fits beside nothing, has its turn after one round."""
    world = Simulated(load_s, 1)
    crowd = [Arrival(gap, "a", answer_s, "anna", 4.0) for _ in range(200)]
    world.run([crowd[0], Arrival(0.1, "d", 1.0, "ben", None), *crowd[1:]])
    (waited,) = [waited for profile, waited, _ in world.waits if profile == "d"]
    assert waited <= max(STARVATION_S, 3 * load_s["d"]) + answer_s + STOP_S + 2 * PREPARE_S + load_s["d"] + load_s["a"]
