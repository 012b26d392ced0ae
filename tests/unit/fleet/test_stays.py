"""How long requests have a model stay: sooner than its TTL, never later, and not while somebody needs it."""

from __future__ import annotations

from scheduler_yard import Yard

from hostler.fleet.scheduling import messages as m
from hostler.fleet.scheduling.scheduler import next_wake

GIB = 2**30
ONE = {"a": GIB}


def idle(yard: Yard, seconds: float) -> None:
    yard.now += seconds
    yard.tell(m.Tick())


def test_it_leaves_when_the_request_said() -> None:
    yard = Yard(ONE)
    a = yard.resident("a")
    yard.tell(m.Stay("a", 60.0))
    assert next_wake(yard.state, yard.rules, yard.now) == yard.now + 60.0
    idle(yard, 59.0)
    assert yard.stopped() == []
    idle(yard, 1.0)
    assert yard.stopped() == [a]


def test_its_ttl_ends_sooner() -> None:
    yard = Yard(ONE)
    yard.ttl["a"] = 10.0
    a = yard.resident("a")
    yard.tell(m.Stay("a", 60.0))
    idle(yard, 10.0)
    assert yard.stopped() == [a]


def test_the_latest_request_counts() -> None:
    yard = Yard(ONE)
    yard.resident("a")
    yard.tell(m.Stay("a", 60.0))
    yard.tell(m.Stay("a", None))
    idle(yard, 1000.0)
    assert yard.stopped() == []


def test_at_once_is_after_the_last_answer() -> None:
    yard = Yard(ONE)
    a = yard.resident("a")
    assert yard.granted(yard.ask("a"))
    yard.tell(m.Stay("a", 0.0))
    assert yard.stopped() == []
    yard.tell(m.Release(a, healthy=True))
    assert yard.stopped() == [a]


def test_what_is_pinned_or_held_stays() -> None:
    yard = Yard(ONE)
    yard.resident("a")
    yard.tell(m.Pin("a", True))
    yard.tell(m.Stay("a", 0.0))
    assert yard.stopped() == []


def test_nothing_happens_where_none_is_loaded() -> None:
    yard = Yard(ONE)
    yard.tell(m.Stay("a", 0.0))
    yard.resident("a")
    idle(yard, 1000.0)
    assert yard.stopped() == []
