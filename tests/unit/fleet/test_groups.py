"""Groups: what excludes each other is never loaded at once, mates come and leave together; and what a swap costs."""

from __future__ import annotations

import pytest
from msgspec.structs import replace
from scheduler_yard import GIB, RULES, Yard

from hostler.engines.state import Ready, Stopping
from hostler.errors import NeverFits
from hostler.fleet.scheduling import messages as m
from hostler.fleet.scheduling.rules import Terms


def either(*names: str) -> dict[str, Terms]:
    return {name: Terms(group="either", exclusive=True) for name in names}


def both(*names: str) -> dict[str, Terms]:
    return {name: Terms(group="both", together=True) for name in names}


def yard(needs: dict[str, int], terms: dict[str, Terms]) -> Yard:
    return Yard({name: size * GIB for name, size in needs.items()}, rules=replace(RULES, terms=terms))


def test_an_idle_rival_leaves_although_there_is_room() -> None:
    world = yard({"a": 1, "b": 1, "c": 1}, either("a", "b"))
    a = world.resident("a")
    c = world.resident("c")
    waiting = world.ask("b")
    assert world.stopped() == [a]
    world.loaded("b")  # while the other one still stops
    assert world.granted(waiting)
    assert isinstance(world.state.instances[c].state, Ready)


def test_a_rival_is_gone_before_its_room_is_taken() -> None:
    world = yard({"a": 6, "b": 6}, either("a", "b"))
    a = world.resident("a")
    waiting = world.ask("b")
    assert world.stopped() == [a]
    assert "b" not in world.started()
    world.tell(m.Gone(a, None))
    world.loaded("b")
    assert world.granted(waiting)


def test_a_busy_rival_is_waited_for_and_closed_when_the_bound_is_over() -> None:
    world = yard({"a": 1, "b": 1}, either("a", "b"))
    a = world.resident("a")
    world.ask("a")
    world.ask("b")
    world.now = 31.0
    late = world.ask("a")
    world.tell(m.Release(a, healthy=True))
    assert not world.granted(late)
    assert world.stopped() == [a]
    world.tell(m.Gone(a, None))
    assert world.started() == ["a", "b"]


def test_a_pinned_rival_refuses_with_the_name_of_the_group() -> None:
    world = yard({"a": 1, "b": 1}, either("a", "b"))
    world.pins.add("a")
    world.resident("a")
    error = world.refused(world.ask("b"))
    assert isinstance(error, NeverFits)
    assert "'either'" in error.message
    assert world.state.wants == {}


def test_mates_are_brought_and_leave_together() -> None:
    world = yard({"a": 3, "b": 4, "c": 9}, both("a", "b"))
    world.ask("a")
    assert world.started() == ["a", "b"]
    a, b = world.loaded("a"), world.loaded("b")
    world.tell(m.Release(a, healthy=True))
    world.ask("c")
    assert sorted(world.stopped()) == sorted([a, b])


def test_a_busy_mate_keeps_the_other() -> None:
    world = yard({"a": 3, "b": 4, "c": 4}, both("a", "b"))
    world.ask("a")
    world.loaded("a")
    world.loaded("b")
    world.ask("c")
    assert world.stopped() == []


def test_a_mate_without_room_beside_its_group_is_not_waited_for() -> None:
    world = yard({"a": 6, "b": 6}, both("a", "b"))
    waiting = world.ask("a")
    world.loaded("a")
    assert world.granted(waiting)
    assert world.started() == ["a"]
    assert world.state.waiting == ()


def test_a_request_for_a_mate_that_fits_only_without_the_other_gets_it() -> None:
    world = yard({"a": 6, "b": 6}, both("a", "b"))
    a = world.resident("a")
    waiting = world.ask("b")
    assert world.stopped() == [a]
    world.tell(m.Gone(a, None))
    world.loaded("b")
    assert world.granted(waiting)


def test_a_mate_of_a_pinned_profile_stays() -> None:
    world = yard({"a": 3, "b": 4, "c": 4}, both("a", "b"))
    world.pins.add("a")
    world.resident("a")
    b = world.loaded("b")
    assert isinstance(world.refused(world.ask("c")), NeverFits)
    assert isinstance(world.state.instances[b].state, Ready)


@pytest.mark.parametrize("residency", [1, 3])
def test_a_load_answers_what_it_is_owed_before_it_is_closed(residency: int) -> None:
    world = Yard({"a": 6 * GIB, "b": 6 * GIB}, rules=replace(RULES, residency=residency, queue=20))
    tickets = [world.ask("a") for _ in range(6)]
    a = world.loaded("a")
    world.ask("b")
    world.now = 1000.0
    while not isinstance(world.state.instances[a].state, Stopping):
        world.tell(m.Release(a, healthy=True))
    assert residency <= sum(map(world.granted, tickets)) <= residency + 1


def test_a_swap_waits_less_when_many_wait_than_when_one_does() -> None:
    """Ten waiters outweigh what a swap of two quick loads costs long before the starvation bound."""
    world = Yard({"a": 6 * GIB, "b": 6 * GIB}, rules=replace(RULES, queue=50))
    a = world.resident("a")
    world.ask("a")
    for _ in range(10):
        world.ask("b")
    for second in range(1, 30):
        world.now = float(second)
        world.ask("a")
        world.tell(m.Release(a, healthy=True))
        if world.stopped():
            break
    assert 0.5 < world.now < 3.0


def test_slow_loads_make_a_swap_dear() -> None:
    world = Yard({"a": 6 * GIB, "b": 6 * GIB}, rules=replace(RULES, queue=50))
    a = world.resident("a")
    world.state = replace(world.state, load_s={"a": 8.0, "b": 8.0})
    world.ask("a")
    world.ask("b")
    world.now = 29.0
    late = world.ask("a")
    world.tell(m.Release(a, healthy=True))
    assert world.granted(late)
    assert world.one("a", Ready) == a


def test_who_is_often_come_back_to_stays() -> None:
    """Load for load alike, and idle for as long: the one that was used on many occasions stays."""
    world = Yard({"a": 4 * GIB, "b": 4 * GIB, "c": 4 * GIB})
    often, seldom = world.resident("a"), world.resident("b")
    for visit in range(1, 8):
        world.now = visit * 120.0
        world.ask("a")
        world.tell(m.Release(often, healthy=True))
    world.ask("b")
    world.tell(m.Release(seldom, healthy=True))
    world.now += 60.0
    world.ask("c")
    assert world.stopped() == [seldom]
