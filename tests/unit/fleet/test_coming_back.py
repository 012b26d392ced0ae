"""Who was evicted comes back beside whoever it left for, if a smaller plan lets both stay; nobody leaves for it."""

from __future__ import annotations

from planned_beside import DESKTOP, planned
from scheduler_yard import GIB, Yard

from hostler.fleet.profiles.planning import Resident
from hostler.fleet.scheduling import messages as m
from hostler.fleet.scheduling.explain import explain
from hostler.placement.wish import rooms_of

NEEDS = {"a": 8 * GIB, "b": 6 * GIB}


def evicted(**later: int) -> Yard:
    """`a` took all there is and has left for `b`; planned now it would need ``later``."""
    yard = Yard(dict(NEEDS))
    yard.context["a"] = 4096
    a = yard.resident("a")
    yard.ask("b")
    yard.tell(m.Gone(a, None))
    b = yard.loaded("b")
    yard.tell(m.Release(b, healthy=True))
    yard.needs |= later
    return yard


def calm(yard: Yard, seconds: float = 5.0) -> None:
    yard.now += seconds
    yard.tell(m.Tick())


def test_one_that_fits_beside_when_it_is_planned_smaller_comes_back() -> None:
    yard = evicted(a=3 * GIB)
    calm(yard)
    back = yard.loaded("a")
    assert {i.profile for i in yard.state.instances.values()} == {"a", "b"}
    assert explain(yard.state, yard.rules, yard.now)[back].why.endswith("came back beside others")


def test_nobody_leaves_for_one_that_comes_back() -> None:
    yard = evicted()
    stopped = yard.stopped()
    calm(yard)
    assert yard.stopped() == stopped
    assert yard.state.waiting == ()
    assert yard.started() == ["a", "b"]


def test_it_comes_back_with_the_context_that_it_had_or_not_at_all() -> None:
    yard = evicted(a=3 * GIB)
    yard.context["a"] = 2048
    calm(yard)
    assert yard.started() == ["a", "b"]


def test_who_asks_for_one_that_did_not_come_back_gets_a_plan_of_now() -> None:
    """It was loaded, hours later and alone, as it would have been beside the one that has left since."""
    yard = evicted(a=3 * GIB)
    yard.context["a"] = 2048
    calm(yard)
    assert yard.state.wants == {}
    yard.tell(m.Unload("b", False, "test"))
    yard.tell(m.Gone(yard.stopped()[-1], None))
    yard.needs["a"], yard.context["a"] = 8 * GIB, 4096
    yard.ask("a")
    assert yard.state.instances[yard.loaded("a")].context == 4096


def test_not_before_things_have_calmed_down_and_only_once() -> None:
    yard = evicted()
    calm(yard, 1.0)
    assert yard.prepared("a") == 1
    calm(yard)
    assert yard.prepared("a") == 2
    calm(yard, 60.0)
    assert yard.prepared("a") == 2


def test_one_that_nobody_has_come_back_to_for_long_stays_away() -> None:
    yard = evicted(a=3 * GIB)
    calm(yard, 7200.0)
    assert yard.started() == ["a", "b"]


def test_while_somebody_waits_nobody_comes_back() -> None:
    yard = evicted(a=3 * GIB)
    yard.ask("b")
    yard.ask("b")
    calm(yard)
    assert yard.started() == ["a", "b"]


def test_what_was_unloaded_on_request_stays_unloaded() -> None:
    yard = Yard({"a": 3 * GIB, "b": 3 * GIB})
    a = yard.resident("a")
    yard.resident("b")
    yard.tell(m.Unload("a", False, "test"))
    yard.tell(m.Gone(a, None))
    calm(yard, 10.0)
    assert yard.started() == ["a", "b"]


def test_a_switch_or_an_unload_is_not_undone() -> None:
    for undone in (m.UnloadOthers("b", "switch"), m.Unload("a", False, "test")):
        yard = evicted(a=3 * GIB)
        yard.tell(undone)
        calm(yard)
        assert yard.started() == ["a", "b"]


def test_on_a_real_card_both_stay_once_the_first_has_given_up_what_it_does_not_need() -> None:
    """Alone it takes f16 keys and values; beside 6 GiB of another q8_0 does, at the same speed and context."""
    alone, beside = (planned(residents).plan for residents in ((), (Resident(profile="b", bytes={"gpu0": 6 * GIB}),)))
    assert (alone.run.context, alone.run.cache_k) == (beside.run.context, "f16")
    assert beside.run.cache_k == "q8_0"
    assert beside.speeds[0].decode.value >= 0.85 * alone.speeds[0].decode.value
    yard = Yard({"a": alone.need["gpu0"], "b": 6 * GIB}, budget=rooms_of(DESKTOP)["gpu0"].available)
    a = yard.resident("a")
    yard.ask("b")
    assert yard.stopped() == [a]
    yard.tell(m.Gone(a, None))
    yard.tell(m.Release(yard.loaded("b"), healthy=True))
    yard.needs["a"] = beside.need["gpu0"]
    calm(yard)
    yard.loaded("a")
    assert {i.profile for i in yard.state.instances.values()} == {"a", "b"}
