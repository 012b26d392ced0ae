"""Who was planned small beside others is loaded again with the room that is back; nobody waits or leaves for it."""

from __future__ import annotations

from msgspec.structs import replace
from planned_beside import planned
from scheduler_yard import GIB, RULES, Yard

from hostler.errors import ModelError
from hostler.fleet.profiles.planning import Resident
from hostler.fleet.scheduling import messages as m
from hostler.fleet.scheduling.explain import explain
from hostler.fleet.scheduling.growth import REASON
from hostler.fleet.scheduling.rules import Terms
from hostler.fleet.scheduling.scheduler import step

HALF_AN_HOUR = 1800.0


def small() -> Yard:
    """`a` was planned with 3 GiB beside `b`, which has 6 and has left since; alone it would take 8."""
    yard = Yard({"a": 3 * GIB, "b": 6 * GIB})
    yard.context["a"] = 4096
    b = yard.resident("b")
    yard.full["a"] = 8 * GIB
    yard.resident("a")
    yard.tell(m.Unload("b", False, "test"))
    yard.tell(m.Gone(b, None))
    yard.full.clear()
    yard.needs["a"] = 8 * GIB
    return yard


def used(yard: Yard, seconds: float) -> None:
    """`a` is asked for every ten minutes for so long."""
    until = yard.now + seconds
    while yard.now < until and not yard.state.growing:
        yard.tell(m.Release(yard.state.instances[asked(yard)].id, healthy=True))
        later(yard, min(600.0, until - yard.now), 20.0)


def asked(yard: Yard) -> str:
    yard.ask("a")
    return next(i.id for i in yard.state.instances.values() if i.profile == "a")


def later(yard: Yard, seconds: float, each: float = 5.0) -> None:
    """Time passes as the owner tells it, until it grows."""
    until = yard.now + seconds
    while yard.now < until and not yard.state.growing:
        yard.now += each
        yard.tell(m.Tick())


def test_it_is_loaded_again_once_nobody_else_is_likely_to_need_the_room() -> None:
    yard = small()
    (a,) = yard.state.instances
    assert explain(yard.state, yard.rules, yard.now)[a].why.endswith("takes more when there is room for a while")
    used(yard, 600.0)
    assert a in yard.state.instances, "b was loaded a moment ago"
    used(yard, 2 * HALF_AN_HOUR)
    assert yard.stopped()[-1] == a
    assert [e for e in yard.done if isinstance(e, m.Stop)][-1].reason == REASON
    yard.tell(m.Gone(a, None))
    assert [e for e in yard.done if isinstance(e, m.Start)][-1] == m.Start("a-3", "a", REASON)
    grown = yard.loaded("a")
    assert yard.state.instances[grown].holds == {"host": 8 * GIB}
    assert yard.state.waiting == ()
    used(yard, 4 * HALF_AN_HOUR)
    assert grown in yard.state.instances


def test_a_request_that_comes_meanwhile_has_the_new_one() -> None:
    yard = grows()
    ticket = yard.ask("a")
    yard.tell(m.Gone("a-2", None))
    yard.loaded("a")
    assert yard.granted(ticket)


def grows() -> Yard:
    """It has just been stopped for that."""
    yard = small()
    yard.state = replace(yard.state, heat={})
    later(yard, 70.0)
    assert yard.stopped()[-1] == "a-2"
    return yard


def test_not_while_it_is_used_or_waited_for_or_kept_or_told_to_leave() -> None:
    messages: list[m.Message] = [
        m.Hold("h", "a", 1e9), m.Pin("a", True), m.Stay("a", 1e9), m.Doubted("a-2"), m.Drain(),
    ]  # fmt: skip
    for message in messages:
        yard = small()
        yard.state = replace(yard.state, heat={})
        yard.tell(message)
        later(yard, 100.0)
        assert yard.stopped() == ["b-1"], message
    yard = small()
    yard.state = replace(yard.state, heat={})
    asked(yard)
    later(yard, 100.0)
    assert yard.stopped() == ["b-1"]


def test_one_that_is_dear_to_bring_back_is_idle_for_longer() -> None:
    yard = small()
    yard.state = replace(yard.state, heat={})
    yard.tell(m.Release(asked(yard), healthy=True, redo_s=40.0))
    later(yard, 195.0)
    assert yard.stopped() == ["b-1"]
    later(yard, 10.0)
    assert yard.stopped()[-1] == "a-2"


def test_one_of_a_set_stays() -> None:
    yard = small()
    yard.state = replace(yard.state, heat={})
    yard.rules = replace(RULES, terms={"a": Terms(group="pair", together=True)})
    later(yard, 100.0)
    assert yard.stopped() == ["b-1"]


def test_room_that_comes_and_goes_is_none() -> None:
    yard = small()
    yard.state = replace(yard.state, heat={})
    for _ in range(5):
        later(yard, 50.0)
        yard.budget = 7 * GIB
        later(yard, 5.0)
        yard.budget = 10 * GIB
    assert yard.stopped() == ["b-1"]


def test_after_a_longer_while_each_time() -> None:
    yard = grows()
    yard.tell(m.Gone("a-2", None))
    a = yard.loaded("a")
    yard.full["a"], yard.needs["a"] = 8 * GIB, 3 * GIB
    yard.tell(m.Unload("a", False, "test"))
    yard.tell(m.Gone(a, None))
    again = yard.resident("a")
    yard.full.clear()
    later(yard, 100.0)
    assert again in yard.state.instances
    assert again not in yard.stopped()
    later(yard, 40.0)
    assert yard.stopped()[-1] == again


def test_what_cannot_be_prepared_any_more_goes_on_as_it_is() -> None:
    yard = small()
    yard.state = replace(yard.state, heat={}, roomy={"a-2": -100.0})
    yard.now += 60.0
    yard.state, effects = step(yard.state, m.Tick(), yard.at())
    assert effects == [m.Prepare("a")]
    yard.tell(m.PrepareFailed("a", ModelError("The file is gone.")))
    assert yard.stopped() == ["b-1"]
    assert yard.state.failures == {}
    yard.state, effects = step(yard.state, m.Tick(), yard.at())
    assert effects == []
    assert yard.granted(yard.ask("a"))


def test_a_plan_that_is_no_better_is_not_loaded() -> None:
    yard = small()
    yard.state = replace(yard.state, heat={})
    yard.full["a"] = 8 * GIB  # still
    later(yard, 200.0)
    assert yard.stopped() == ["b-1"]
    assert yard.prepared("a") == 2


def test_an_unload_or_a_switch_meanwhile_holds() -> None:
    for message in (m.Unload("a", False, "test"), m.UnloadOthers("b", "switch")):
        yard = grows()
        yard.tell(message)
        yard.tell(m.Gone("a-2", None))
        assert yard.state.instances == {}
        assert yard.state.waiting == ()


def test_a_plan_beside_another_says_what_a_better_one_would_take() -> None:
    alone, beside = planned(()), planned((Resident(profile="b", bytes={"gpu0": 6 * GIB}),))
    assert beside.plan.run.cache_k == "q8_0"
    assert (alone.full, beside.full) == (None, alone.plan.need)
    pinned = planned((Resident(profile="b", bytes={"gpu0": 6 * GIB}, pinned=True),))
    assert pinned.full is None, "it never leaves"
    little = planned((Resident(profile="b", bytes={"gpu0": GIB // 16}),))
    assert little.full is None, "nothing would be better without it"
