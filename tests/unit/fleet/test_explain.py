"""What people are told: why it is loaded, and who would leave next; the same rules that make room."""

from __future__ import annotations

from msgspec.structs import replace
from scheduler_yard import GIB, RULES, Yard

from hostler.engines.state import Ready, Stopping
from hostler.fleet.scheduling import messages as m
from hostler.fleet.scheduling.explain import Reason, explain, in_the_way
from hostler.fleet.scheduling.rules import Terms


def reasons(yard: Yard) -> dict[str, Reason]:
    return {yard.state.instances[name].profile: r for name, r in explain(yard.state, yard.rules, yard.now).items()}


def test_who_would_leave_next_is_who_leaves() -> None:
    yard = Yard({"a": 3 * GIB, "b": 3 * GIB, "c": 3 * GIB, "d": 3 * GIB})
    for n, name in enumerate("abc"):
        yard.now = n * 100.0
        yard.resident(name)
    told = reasons(yard)
    first = next(name for name, reason in told.items() if reason.leaves == 1)
    assert sorted(reason.leaves or 0 for reason in told.values()) == [1, 2, 3]
    yard.ask("d")
    assert yard.stopped() == [yard.one(first, Stopping)]


def test_every_way_to_stay_is_told() -> None:
    terms = {name: Terms(group="g", together=True) for name in ("pinned", "mate")}
    yard = Yard(
        dict.fromkeys(("busy", "held", "pinned", "mate", "loading", "idle"), GIB), rules=replace(RULES, terms=terms)
    )
    yard.pins.add("pinned")
    yard.resident("pinned")
    yard.loaded("mate")
    yard.resident("idle")
    yard.resident("busy")
    yard.ask("busy")
    yard.ask("busy")
    yard.tell(m.Hold("h", "held", 90.0))
    yard.ask("held", lease=False)
    yard.loaded("held")
    yard.ask("loading")
    yard.now = 30.0
    told = {name: reason.why for name, reason in reasons(yard).items()}
    assert told == {
        "busy": "answers 1 of 1; 1 request waits for it",
        "held": "held for 1m",
        "pinned": "pinned",
        "mate": "one of its group is pinned",
        "loading": "1 request waits for it",
        "idle": "idle 30s, 0s to bring back, 50% likely to return",
    }
    assert [name for name, reason in reasons(yard).items() if reason.leaves] == ["idle"]
    yard.tell(m.Doubted(yard.one("busy", Ready)))
    assert "lost a request, and has to show that it is there" in reasons(yard)["busy"].why


def test_what_makes_room_says_for_whom() -> None:
    yard = Yard({"a": 6 * GIB, "b": 6 * GIB})
    yard.resident("a")
    yard.ask("a")
    yard.ask("b")
    yard.now = 31.0
    yard.tell(m.Tick())
    assert reasons(yard)["a"].why == "answers 1 of 1; makes room for b when that is done"


def test_who_waits_is_told_whose_room_it_needs_before_anybody_is_closed_for_it() -> None:
    yard = Yard({"a": 6 * GIB, "b": 6 * GIB, "c": 2 * GIB})
    yard.resident("a")
    yard.resident("c")
    yard.ask("a")
    yard.ask("c")
    waiting = yard.ask("b")
    assert yard.state.instances[yard.one("a", Ready)].closed_for is None
    assert in_the_way(yard.state, waiting, yard.at()) == ("a",)
    yard.now = 31.0
    yard.tell(m.Tick())
    assert in_the_way(yard.state, waiting, yard.at()) == ("a",)
    assert in_the_way(yard.state, yard.ask("c"), yard.at()) == ()
