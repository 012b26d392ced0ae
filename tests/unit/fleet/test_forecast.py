"""What a waiter is told: its place for its profile, and seconds from measured loads and answers."""

from __future__ import annotations

from msgspec.structs import replace
from scheduler_yard import GIB, RULES, Yard

from hostler.errors import QueueFull
from hostler.fleet.scheduling import messages as m
from hostler.fleet.scheduling.forecast import Forecast, forecast


def told(yard: Yard, ticket: int) -> Forecast:
    return forecast(yard.state, ticket, yard.at())


def test_behind_a_load_it_is_what_is_left_of_it_and_the_answers_before() -> None:
    yard = Yard({"a": GIB})
    yard.state = replace(yard.state, load_s={"a": 10.0}, lease_s={"a": 3.0})
    first, second = yard.ask("a"), yard.ask("a")
    yard.now = 4.0
    assert told(yard, first) == Forecast(1, 6.0)
    assert told(yard, second) == Forecast(2, 9.0)


def test_behind_busy_slots_it_is_the_answers_that_run() -> None:
    yard = Yard({"a": GIB})
    a = yard.resident("a")
    yard.ask("a")
    waiting = yard.ask("a")
    yard.tell(m.Release(a, healthy=True, held_s=2.0))
    assert yard.granted(waiting)
    later = yard.ask("a")
    assert told(yard, later) == Forecast(1, 2.0)


def test_behind_others_that_are_busy_it_is_the_bound_and_the_load() -> None:
    yard = Yard({"a": 6 * GIB, "b": 6 * GIB})
    yard.resident("a")
    yard.ask("a")
    yard.state = replace(yard.state, load_s={**yard.state.load_s, "b": 5.0})
    waiting = yard.ask("b")
    yard.now = 10.0
    assert told(yard, waiting) == Forecast(1, 25.0)


def waiting_for_room(yard: Yard, **lease_s: float) -> int:
    """`a` is loaded, `b` wants its room and takes 5 s to load."""
    yard.resident("a")
    yard.state = replace(yard.state, load_s={"a": 2.0, "b": 5.0}, lease_s=lease_s)
    return yard.tickets


def test_behind_a_hold_it_is_what_is_left_of_it() -> None:
    yard = Yard({"a": 6 * GIB, "b": 6 * GIB})
    waiting_for_room(yard)
    yard.tell(m.Hold("h1", "a", 120.0))
    waiting = yard.ask("b")
    yard.now = 40.0
    assert told(yard, waiting) == Forecast(1, 80.0 + 5.0)


def test_what_is_held_elsewhere_is_not_waited_for() -> None:
    yard = Yard({"a": 4 * GIB, "c": 4 * GIB, "b": 6 * GIB})
    yard.resident("c")
    waiting_for_room(yard)
    yard.tell(m.Hold("h1", "a", 120.0))
    yard.ask("c")
    yard.state = replace(yard.state, lease_s={"c": 3.0})
    assert told(yard, yard.ask("b")) == Forecast(1, 3.0 + 5.0)


def test_behind_somebody_for_whom_nobody_waits_it_is_its_answer_and_the_load() -> None:
    yard = Yard({"a": 6 * GIB, "b": 6 * GIB})
    waiting_for_room(yard, a=12.0)
    yard.ask("a")
    waiting = yard.ask("b")
    yard.now = 2.0
    assert told(yard, waiting) == Forecast(1, 10.0 + 5.0)
    yard.ask("a")
    assert told(yard, waiting) == Forecast(1, 28.0 + 10.0 + 5.0)


def test_who_makes_room_comes_back_after_the_other() -> None:
    yard = Yard({"a": 6 * GIB, "b": 6 * GIB})
    waiting_for_room(yard, a=40.0, b=3.0)
    yard.ask("a")
    yard.ask("b")
    yard.now = 31.0
    yard.tell(m.Tick())
    assert told(yard, yard.ask("a")) == Forecast(1, 9.0 + 5.0 + 3.0 + 2.0)


def test_behind_a_profile_that_waits_longer_it_is_that_one_first() -> None:
    yard = Yard({"a": 6 * GIB, "b": 6 * GIB, "c": 6 * GIB})
    waiting_for_room(yard, a=10.0, b=3.0)
    yard.state = replace(yard.state, load_s={**yard.state.load_s, "c": 1.0})
    yard.ask("a")
    yard.ask("b")
    assert told(yard, yard.ask("c")) == Forecast(1, 10.0 + 5.0 + 3.0 + 1.0)


def test_before_the_first_load_nobody_is_told_a_time() -> None:
    yard = Yard({"a": GIB})
    assert told(yard, yard.ask("a")) == Forecast(1, None)


def test_another_profile_s_line_is_not_counted() -> None:
    yard = Yard({"a": GIB, "b": GIB})
    for _ in range(3):
        yard.ask("a")
    assert told(yard, yard.ask("b")).place == 1


def test_before_any_answer_was_measured_nobody_is_told_a_time() -> None:
    yard = Yard({"a": GIB})
    yard.ask("a")
    yard.loaded("a")
    assert told(yard, yard.ask("a")) == Forecast(1, None)


def test_who_does_not_wait_has_no_place() -> None:
    assert told(Yard({}), 7) == Forecast(0, 0.0)


def test_one_too_many_hears_its_place_and_when_to_come_back() -> None:
    yard = Yard({"a": GIB}, rules=replace(RULES, queue=3))
    yard.state = replace(yard.state, load_s={"a": 8.0}, lease_s={"a": 2.0})
    for _ in range(3):
        yard.ask("a")
    error = yard.refused(yard.ask("a"))
    assert isinstance(error, QueueFull)
    assert (error.place, error.retry_after_s) == (4, 14.0)


def test_the_load_time_of_an_earlier_run_of_the_gateway_counts() -> None:
    yard = Yard({"a": 6 * GIB, "b": 6 * GIB})
    yard.resident("a")
    yard.ask("a")
    yard.tell(m.Ask(waiter=m.Waiter(ticket=99, profile="b", since=0.0)))
    yard.tell(m.Prepared("b", replace(yard.want("b"), load_s=20.0)))
    assert yard.state.load_s["b"] == 20.0


def test_what_is_passed_is_unknown_and_never_promised_anew() -> None:
    yard = Yard({"a": 6 * GIB, "b": 6 * GIB})
    waiting_for_room(yard)
    yard.ask("a")
    waiting = yard.ask("b")
    said = []
    for second in range(0, 61, 5):
        yard.now = float(second)
        yard.tell(m.Tick())
        said.append(told(yard, waiting).wait_s)
    assert said == [35.0, 30.0, 25.0, *[None] * 10]  # from when it is closed, after answers that were never measured


def test_an_answer_and_a_load_that_take_longer_than_measured_are_unknown() -> None:
    yard = Yard({"a": GIB})
    yard.state = replace(yard.state, load_s={"a": 10.0}, lease_s={"a": 3.0})
    first, second = yard.ask("a"), yard.ask("a")
    yard.now = 11.0
    assert told(yard, first) == Forecast(1, None)
    yard.loaded("a")
    assert told(yard, second) == Forecast(1, 3.0)
    yard.now = 13.0
    assert told(yard, second) == Forecast(1, 1.0)
    yard.now = 15.0
    assert told(yard, second) == Forecast(1, None)
