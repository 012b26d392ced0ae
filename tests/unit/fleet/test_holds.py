"""Holds: what is held stays, what was loaded for a hold leaves with it, and with nothing else."""

from __future__ import annotations

from scheduler_yard import GIB, Yard

from hostler.engines.state import Ready
from hostler.fleet.scheduling import messages as m
from hostler.fleet.scheduling.scheduler import next_wake


def held(yard: Yard, profile: str, name: str = "h1", seconds: float = 60.0) -> str:
    """Hold it, load it."""
    yard.tell(m.Hold(name, profile, yard.now + seconds))
    yard.ask(profile, lease=False)
    return yard.loaded(profile)


def test_what_is_held_makes_no_room_until_the_hold_is_over() -> None:
    yard = Yard({"a": 6 * GIB, "b": 6 * GIB})
    a = held(yard, "a")
    waiting = yard.ask("b")
    yard.now = 50.0
    yard.tell(m.Tick())
    assert yard.stopped() == []
    assert next_wake(yard.state, yard.rules, yard.now) == 60.0
    yard.now = 60.0
    yard.tell(m.Tick())
    assert yard.stopped() == [a]
    yard.tell(m.Gone(a, None))
    yard.loaded("b")
    assert yard.granted(waiting)


def test_a_hold_is_not_over_before_the_load_that_it_is_for() -> None:
    """A hold of a minute was over during a load of two: nothing took the instance away any more."""
    yard = Yard({"a": GIB})
    yard.tell(m.Hold("h1", "a", 60.0))
    yard.ask("a", lease=False)
    yard.now = 120.0
    yard.tell(m.Tick())
    assert "h1" in yard.state.holds
    a = yard.loaded("a")
    yard.tell(m.Hold("h1", "a", yard.now + 60.0))
    yard.now = 180.0
    yard.tell(m.Tick())
    assert yard.stopped() == [a]


def test_what_was_loaded_for_a_hold_leaves_with_it_when_its_requests_are_done() -> None:
    yard = Yard({"a": GIB})
    a = held(yard, "a")
    yard.ask("a")
    yard.tell(m.Unhold("h1"))
    assert yard.stopped() == []
    yard.tell(m.Release(a, healthy=True))
    assert yard.stopped() == [a]


def test_what_was_loaded_before_stays_after() -> None:
    yard = Yard({"a": GIB})
    a = yard.resident("a")
    yard.tell(m.Hold("h1", "a", 60.0))
    yard.tell(m.Unhold("h1"))
    assert isinstance(yard.state.instances[a].state, Ready)


def test_the_last_of_several_holds_takes_it_away() -> None:
    yard = Yard({"a": GIB})
    a = held(yard, "a")
    yard.tell(m.Hold("h2", "a", 90.0))
    yard.tell(m.Unhold("h1"))
    assert yard.stopped() == []
    yard.tell(m.Unhold("h2"))
    assert yard.stopped() == [a]


def test_a_hold_is_prolonged_and_never_cut_short_by_another_word() -> None:
    yard = Yard({"a": GIB})
    held(yard, "a")
    yard.tell(m.Hold("h1", "a", 200.0))
    yard.tell(m.Hold("h1", "a", 100.0))
    assert yard.state.holds["h1"] == m.Held(profile="a", until=200.0, loaded=True)


def test_a_ttl_does_not_count_while_it_is_held() -> None:
    yard = Yard({"a": GIB})
    yard.ttl["a"] = 10.0
    a = held(yard, "a")
    yard.now = 30.0
    yard.tell(m.Tick())
    assert isinstance(yard.state.instances[a].state, Ready)


def test_an_unload_ends_the_hold() -> None:
    yard = Yard({"a": GIB})
    a = held(yard, "a")
    yard.tell(m.Unload("a", False, "test"))
    assert yard.state.holds == {}
    assert yard.stopped() == [a]


def test_a_switch_leaves_what_is_held() -> None:
    yard = Yard({"a": GIB, "b": GIB})
    a = held(yard, "a")
    yard.resident("b")
    yard.tell(m.UnloadOthers("b", "switch"))
    assert isinstance(yard.state.instances[a].state, Ready)


def test_a_removed_profile_is_held_no_longer() -> None:
    yard = Yard({"a": GIB})
    held(yard, "a")
    yard.tell(m.Configured({}))
    assert yard.state.holds == {}


def test_somebody_who_waits_keeps_what_a_hold_loaded() -> None:
    yard = Yard({"a": GIB})
    a = held(yard, "a")
    yard.ask("a")
    waiting = yard.ask("a")
    yard.tell(m.Unhold("h1"))
    yard.tell(m.Release(a, healthy=True))
    assert yard.granted(waiting)
