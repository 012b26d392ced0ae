"""The scheduler's rules, one by one; the numbers are those in its docstring."""

from __future__ import annotations

import pytest
from scheduler_yard import GIB, RULES, Yard

from hostler.engines.state import Draining, Ready, Starting, Stopping
from hostler.errors import Draining as GatewayDraining
from hostler.errors import (
    EngineLost,
    LoadFailed,
    ModelError,
    NeverFits,
    OutOfMemory,
    QueueFull,
)
from hostler.fleet.scheduling import messages as m
from hostler.fleet.scheduling.scheduler import next_wake, step


def test_a_ready_instance_is_granted_at_once() -> None:
    yard = Yard({"a": GIB})
    instance = yard.resident("a")
    effects = yard.tell(m.Ask(waiter=m.Waiter(ticket=9, profile="a", since=0.0)))
    assert effects == [m.Grant(9, instance)]


def test_rule_1_a_busy_instance_is_not_stopped_for_room() -> None:
    yard = Yard({"a": 6 * GIB, "b": 6 * GIB})
    yard.ask("a")
    a = yard.loaded("a")
    b = yard.ask("b")
    yard.now = 1000.0
    yard.tell(m.Tick())
    assert yard.stopped() == []
    yard.tell(m.Release(a, healthy=True))
    assert yard.stopped() == [a]
    assert yard.started() == ["a"]
    yard.tell(m.Gone(a, None))
    yard.loaded("b")
    assert yard.granted(b)


def test_rule_2_a_load_in_flight_is_joined() -> None:
    yard = Yard({"a": GIB})
    tickets = [yard.ask("a"), yard.ask("a"), yard.ask("a", lease=False)]
    assert yard.started() == ["a"]
    yard.slots = 1
    instance = yard.loaded("a")
    yard.tell(m.Release(instance, healthy=True))
    assert all(map(yard.granted, tickets))


def test_rule_3_resident_requests_go_first_until_another_starves() -> None:
    yard = Yard({"a": 6 * GIB, "b": 6 * GIB})
    a = yard.resident("a")
    yard.ask("a")
    b = yard.ask("b")
    second = yard.ask("a")
    yard.tell(m.Release(a, healthy=True))
    assert yard.granted(second)
    yard.now = 30.0
    late = yard.ask("a")
    yard.tell(m.Release(a, healthy=True))
    assert not yard.granted(late)
    assert yard.stopped() == [a]
    yard.tell(m.Gone(a, None))
    yard.loaded("b")
    assert yard.granted(b)
    assert not yard.granted(late)
    yard.tell(m.Release(yard.one("b", Ready), healthy=True))
    assert yard.one("b", Stopping)


def test_rule_3_what_was_closed_for_somebody_who_left_opens_again() -> None:
    """While a third profile waited for room, nobody opened it: its own requests then waited for nothing."""
    yard = Yard({"a": 6 * GIB, "b": 6 * GIB, "c": 6 * GIB})
    a = yard.resident("a")
    yard.ask("a")
    starving = yard.ask("b")
    yard.now = 30.0
    yard.tell(m.Tick())
    late = yard.ask("a")
    yard.ask("c")
    yard.tell(m.Leave(starving))
    yard.tell(m.Release(a, healthy=True))
    assert yard.granted(late)


def test_rule_4_nothing_prepared_for_somebody_who_left_is_kept() -> None:
    """Hours later a file that had been replaced meanwhile was loaded by its old header."""
    yard = Yard({"a": 6 * GIB, "b": 6 * GIB})
    yard.resident("a")
    yard.ask("a")
    yard.tell(m.Leave(yard.ask("b")))
    assert yard.state.wants == {}
    yard.ask("b")
    assert [e.profile for e in yard.done if isinstance(e, m.Prepare)] == ["a", "b", "b"]


def test_rule_3_the_bound_grows_with_slow_loads() -> None:
    yard = Yard({"a": 6 * GIB, "b": 6 * GIB})
    yard.ask("b", lease=False)
    yard.now = 20.0
    b = yard.loaded("b")
    yard.tell(m.Unload("b", False, "test"))
    yard.tell(m.Gone(b, None))
    a = yard.resident("a")
    yard.ask("a")
    yard.ask("b")
    yard.now = 70.0
    more = yard.ask("a")
    yard.tell(m.Release(a, healthy=True))
    assert yard.granted(more)
    yard.now = 80.0
    last = yard.ask("a")
    yard.tell(m.Release(a, healthy=True))
    assert not yard.granted(last)


def test_rule_4_a_caller_who_left_causes_no_load() -> None:
    yard = Yard({"a": 6 * GIB, "b": 6 * GIB})
    yard.ask("a")
    a = yard.loaded("a")
    b = yard.ask("b")
    yard.tell(m.Leave(b))
    yard.tell(m.Release(a, healthy=True))
    assert yard.started() == ["a"]
    assert yard.stopped() == []


def test_rule_4_nothing_is_evicted_before_the_load_is_prepared() -> None:
    yard = Yard({"a": 6 * GIB})
    a = yard.resident("a")
    at = m.Situation(now=0.0, budget={"host": 10 * GIB}, rules=RULES)
    state, effects = step(yard.state, m.Ask(waiter=m.Waiter(ticket=7, profile="broken", since=0.0)), at)
    assert effects == [m.Prepare("broken")]
    error = ModelError("broken.gguf: truncated at byte 512.")
    state, effects = step(state, m.PrepareFailed("broken", error), at)
    assert effects == [m.Fail("broken", error), m.Refuse(7, error)]
    assert isinstance(state.instances[a].state, Ready)


def test_rule_5_a_fresh_instance_answers_before_it_is_closed_for_another() -> None:
    yard = Yard({"a": 6 * GIB, "b": 6 * GIB})
    b = yard.resident("b")
    first = yard.ask("b")
    yard.now = 100.0
    a = yard.ask("a")
    yard.now = 200.0
    again = yard.ask("b")
    yard.tell(m.Release(b, healthy=True))
    yard.tell(m.Gone(b, None))
    yard.now = 400.0
    loaded = yard.loaded("a")
    assert yard.granted(first)
    assert yard.granted(a)
    assert not yard.granted(again)
    yard.tell(m.Release(loaded, healthy=True))
    assert yard.one("a", Stopping)


def test_rule_6_what_never_fits_is_refused_with_the_numbers() -> None:
    yard = Yard({"huge": 11 * GIB, "a": GIB})
    a = yard.resident("a")
    error = yard.refused(yard.ask("huge"))
    assert isinstance(error, NeverFits)
    assert "11.0 GiB" in error.message
    assert "10.0 GiB" in error.message
    assert a not in yard.stopped()


def test_rule_6_pins_count_as_gone_from_the_budget() -> None:
    yard = Yard({"p": 6 * GIB, "a": 6 * GIB})
    yard.pins.add("p")
    yard.resident("p")
    error = yard.refused(yard.ask("a"))
    assert isinstance(error, NeverFits)
    assert "pinned" in error.message


def test_rule_6_the_budget_is_shared() -> None:
    yard = Yard({"a": 4 * GIB, "b": 4 * GIB, "c": 4 * GIB})
    a, b = yard.resident("a"), yard.resident("b")
    yard.now = 10.0
    yard.ask("b")
    yard.ask("c")
    assert yard.stopped() == [a]
    assert b in yard.state.instances


def test_rule_7_a_failed_load_refuses_its_waiters_then_pauses_then_stays_failed() -> None:
    yard = Yard({"a": GIB})
    error = LoadFailed("It ended with status 1.")
    for expected in (2.0, 4.0, None):
        tickets = [yard.ask("a"), yard.ask("a")]
        yard.tell(m.Gone(yard.one("a", Starting), error))
        told = [yard.refused(t) for t in tickets]
        assert [str(each).startswith("It ended with status 1.") for each in told] == [True, True]
        assert ["`hostler load a` tries it now" in str(each) for each in told] == [expected is None] * 2
        again = yard.refused(yard.ask("a"))
        assert isinstance(again, LoadFailed)
        assert again.retry_after_s == expected
        yard.now += expected or 10_000.0
    assert isinstance(yard.refused(yard.ask("a")), LoadFailed)
    retried = yard.ask("a", forgive=True, lease=False)
    yard.loaded("a")
    assert yard.granted(retried)


def test_rule_7_a_crash_is_forgiven_once() -> None:
    yard = Yard({"a": GIB})
    crash = EngineLost("It died by SIGSEGV.")
    yard.tell(m.Gone(yard.resident("a"), crash))
    yard.ask("a")
    yard.tell(m.Gone(yard.loaded("a"), crash))
    again = yard.refused(yard.ask("a"))
    assert isinstance(again, EngineLost)
    assert again.retry_after_s == 2.0


def test_rule_7_a_good_answer_clears_the_failure() -> None:
    yard = Yard({"a": GIB})
    yard.tell(m.Gone(yard.resident("a"), EngineLost("gone")))
    yard.resident("a")
    assert yard.state.failures == {}


def test_the_queue_has_a_bound() -> None:
    yard = Yard({"a": GIB})
    for _ in range(4):
        yard.ask("a")
    error = yard.refused(yard.ask("a"))
    assert isinstance(error, QueueFull)
    assert error.retry_after_s
    assert error.retry_after_s >= 1


def test_draining_refuses_who_waits_and_who_comes() -> None:
    yard = Yard({"a": GIB})
    running = yard.ask("a")
    yard.loaded("a")
    waiting = yard.ask("a")
    yard.tell(m.Drain())
    assert yard.granted(running)
    for ticket in (waiting, yard.ask("a")):
        refusal = yard.refused(ticket)
        assert isinstance(refusal, GatewayDraining)
        assert refusal.retry_after_s


def test_a_time_that_has_passed_wakes_nobody_again() -> None:
    """A request that starved behind a busy slot once had the fleet tick a thousand times a second."""
    yard = Yard({"a": GIB, "b": GIB}, budget=GIB)
    yard.ask("a")
    yard.loaded("a")
    for profile in ("a", "b"):
        yard.ask(profile)
    assert next_wake(yard.state, RULES, yard.now) == RULES.starvation_s
    yard.now = RULES.starvation_s
    yard.tell(m.Tick())
    assert next_wake(yard.state, RULES, yard.now) is None


def test_ttl_counts_idle_time_only() -> None:
    yard = Yard({"a": GIB})
    yard.ttl["a"] = 60.0
    yard.ask("a")
    a = yard.loaded("a")
    yard.now = 100.0
    yard.tell(m.Tick())
    assert yard.stopped() == []
    yard.tell(m.Release(a, healthy=True))
    assert next_wake(yard.state, RULES, yard.now) == 160.0
    yard.now = 160.0
    yard.tell(m.Tick())
    assert yard.stopped() == [a]


def test_unload_drains_first() -> None:
    yard = Yard({"a": GIB})
    yard.ask("a")
    a = yard.loaded("a")
    yard.tell(m.Unload("a", False, "asked to"))
    assert isinstance(yard.state.instances[a].state, Draining)
    later = yard.ask("a")
    assert yard.stopped() == []
    yard.tell(m.Release(a, healthy=True))
    assert yard.stopped() == [a]
    yard.tell(m.Gone(a, None))
    yard.loaded("a")
    assert yard.granted(later)


def test_an_urgent_load_does_not_wait_for_the_bound() -> None:
    yard = Yard({"a": 6 * GIB, "b": 6 * GIB})
    a = yard.resident("a")
    yard.ask("a")
    yard.ask("b", lease=False, urgent=True)
    later = yard.ask("a")
    yard.tell(m.Release(a, healthy=True))
    assert not yard.granted(later)
    assert yard.stopped() == [a]


def test_a_changed_profile_drains_an_unchanged_one_stays() -> None:
    yard = Yard({"a": GIB, "b": GIB, "c": GIB})
    a, b, c = yard.resident("a"), yard.resident("b"), yard.resident("c")
    yard.tell(m.Configured({"a": ("k", True, 5.0), "b": ("other", False, None)}))
    assert set(yard.stopped()) == {b, c}
    assert yard.state.instances[a].pin


def test_pressure_from_other_programs_evicts_idle_instances() -> None:
    yard = Yard({"a": 4 * GIB, "b": 4 * GIB})
    a = yard.resident("a")
    yard.ask("b")
    yard.loaded("b")
    yard.budget = 5 * GIB
    yard.tell(m.Tick())
    assert yard.stopped() == [a]


def test_an_instance_told_to_stop_does_not_count_as_failed() -> None:
    yard = Yard({"a": GIB})
    a = yard.resident("a")
    yard.tell(m.Unload("a", True, "now"))
    yard.tell(m.Gone(a, EngineLost("it died by SIGTERM")))
    assert yard.state.failures == {}


@pytest.mark.parametrize("lease", [True, False])
def test_an_unload_while_loading_ends_the_load(lease: bool) -> None:
    yard = Yard({"a": GIB})
    ticket = yard.ask("a", lease=lease)
    first = yard.one("a", Starting)
    yard.tell(m.Unload("a", False, "asked to"))
    assert yard.stopped() == [first]
    yard.tell(m.Gone(first, None))
    if lease:
        yard.loaded("a")
        assert yard.granted(ticket)
    else:
        assert yard.refused(ticket) is not None


def test_a_load_that_nobody_waits_for_gives_way() -> None:
    """Its caller had left; it held its room until load_s while others waited for that room."""
    yard = Yard({"a": 6 * GIB, "b": 6 * GIB})
    forsaken = yard.ask("a")
    a = yard.one("a", Starting)
    yard.tell(m.Leave(forsaken))
    assert yard.stopped() == []
    b = yard.ask("b")
    assert yard.stopped() == [a]
    yard.tell(m.Gone(a, None))
    yard.loaded("b")
    assert yard.granted(b)


def test_a_load_that_somebody_waits_for_does_not_give_way() -> None:
    yard = Yard({"a": 6 * GIB, "b": 6 * GIB})
    yard.ask("a", lease=False)
    yard.ask("b")
    assert yard.stopped() == []


def test_rule_7_a_load_that_is_tried_again_has_not_failed() -> None:
    yard = Yard({"a": GIB})
    ticket = yard.ask("a")
    for _ in range(5):
        yard.tell(m.Gone(yard.one("a", Starting), OutOfMemory("It could not get 1 GiB."), again=True))
    assert yard.started() == ["a"] * 6
    assert not yard.state.failures
    assert yard.refused(ticket) is None
    yard.loaded("a")
    assert yard.granted(ticket)


def test_rule_4_nobody_waits_for_a_load_that_would_be_tried_again() -> None:
    yard = Yard({"a": GIB})
    ticket = yard.ask("a")
    instance = yard.one("a", Starting)
    yard.tell(m.Leave(ticket))
    yard.tell(m.Gone(instance, OutOfMemory("It could not get 1 GiB."), again=True))
    assert yard.started() == ["a"]


def test_running_out_after_a_good_load_is_a_crash_like_any_other() -> None:
    yard = Yard({"a": GIB})
    yard.tell(m.Gone(yard.resident("a"), EngineLost("It ran out of memory."), again=True))
    assert "a" in yard.state.failures


def test_idle_residents_leave_a_device_that_is_to_be_cleared_though_there_is_room() -> None:
    yard = Yard({"a": GIB, "idle": GIB, "busy": GIB, "pinned": GIB})
    yard.pins = {"pinned"}
    idle, pinned = yard.resident("idle"), yard.resident("pinned")
    yard.ask("busy")
    busy = yard.loaded("busy")
    yard.clears["a"] = ("host",)
    ticket = yard.ask("a")
    assert yard.stopped() == [idle]
    assert "a" not in yard.started()
    yard.tell(m.Gone(idle, None))
    yard.loaded("a")
    assert yard.granted(ticket)
    assert {busy, pinned} <= set(yard.state.instances)


def test_a_device_that_nothing_idle_holds_needs_no_clearing() -> None:
    yard = Yard({"a": GIB, "idle": GIB})
    yard.resident("idle")
    yard.clears["a"] = ("gpu0",)
    yard.ask("a")
    assert yard.stopped() == []
    assert yard.started() == ["idle", "a"]


def test_what_was_planned_before_another_started_is_planned_anew() -> None:
    """Two loads that were planned at the same moment both had the first card, and one sent the other away."""
    yard = Yard({"a": 6 * GIB, "b": 6 * GIB})
    yard.resident("a")
    yard.ask("a")
    yard.ask("b")
    before = yard.prepared("b")
    yard.needs = {**yard.needs, "c": GIB}
    yard.ask("c")
    assert yard.started() == ["a", "c"]
    yard.tell(m.Tick())
    assert yard.prepared("b") == before + 1


def test_a_plan_that_has_no_room_left_is_made_anew_before_it_is_refused() -> None:
    yard = Yard({"a": 6 * GIB, "b": 6 * GIB})
    a = yard.resident("a")
    yard.tell(m.Ask(waiter=m.Waiter(ticket=50, profile="a", since=0.0)))
    b = yard.ask("b")
    yard.now, yard.budget = 10.0, 5 * GIB
    yard.needs = {**yard.needs, "b": GIB}  # the new plan leaves more on the host
    yard.tell(m.Release(a, healthy=True))
    assert yard.refused(b) is None
    assert yard.prepared("b") == 2


def test_a_plan_that_is_refused_is_no_failure() -> None:
    yard = Yard({"a": GIB})
    effects = yard.tell(m.PrepareFailed("a", NeverFits("It needs about 90 GiB.")))
    assert not yard.state.failures
    assert effects == []
    ticket = yard.ask("a")
    assert yard.refused(ticket) is None


def test_a_little_over_the_budget_nobody_has_to_leave() -> None:
    """A model that was placed to fill its card was sent away for the few bytes by which its prediction was low."""
    yard = Yard({"a": 10 * GIB})
    a = yard.resident("a")
    slack = {"host": GIB}
    at = m.Situation(now=1.0, budget={"host": 10 * GIB}, rules=RULES, slack=slack)
    state, effects = step(yard.state, m.Measured(a, {"host": 10 * GIB + GIB // 2}), at)
    assert effects == []
    state, effects = step(state, m.Measured(a, {"host": 11 * GIB + 1}), at)
    assert [type(effect) for effect in effects] == [m.Stop]
