"""What events and figures say against a gateway."""

from __future__ import annotations

from itertools import count

import msgspec

from hostler import events
from hostler.conformance.asking import Entry
from hostler.conformance.asks import Ask, Subject
from hostler.conformance.fates import Answered, Broken, Cut, Fate, Left, Refused
from hostler.conformance.report import judged, seen_by
from hostler.conformance.witness import Witness
from hostler.wire.management import DeviceMemory

MIB = 2**20


class Told:
    """A witness and what it is told, numbered."""

    def __init__(self, ceiling: int = 100 * MIB) -> None:
        self.witness = Witness({"host": ceiling}, starvation_s=30.0)
        self._ids = count(1)

    def __call__(self, event: events.AnyEvent, at: float = 0.0) -> None:
        self.witness.event(msgspec.structs.replace(event, id=next(self._ids), at=at))

    def instance(self, name: str, *states: events.InstanceState, at: float = 0.0) -> None:
        for state in states:
            self(events.InstanceChanged(instance=name, profile=name.rpartition("-")[0], state=state), at)

    def granted(self, request: str, instance: str, waited_s: float = 0.0) -> None:
        profile = instance.rpartition("-")[0]
        self(events.LeaseGranted(request=request, profile=profile, instance=instance, waited_s=waited_s))


def entry(fate: Fate, request: str = "r-1", *, stream: bool = True) -> Entry:
    asked = Ask(number=0, id=request, subject=Subject("a"), stream=stream, tokens=1, words=1)
    return Entry(ask=asked, fate=fate, at=0.0, first_s=None, total_s=1.0)


def test_loads_one_after_the_other_are_fine() -> None:
    told = Told()
    told.instance("a-1", "starting", "loading", "ready", "draining", "stopping", "stopped")
    told.instance("a-2", "starting", "loading", "ready")
    told.instance("b-3", "starting")
    assert told.witness.doubles == []
    assert told.witness.loads.count == 3


def test_a_second_load_beside_a_living_one_is_found() -> None:
    told = Told()
    told.instance("a-1", "starting", "loading")
    told.instance("a-2", "starting")
    assert told.witness.doubles == ["a-2 was started while a-1 lived"]


def test_after_a_crash_a_load_is_no_second_one() -> None:
    told = Told()
    told.instance("a-1", "starting", "loading", "ready")
    told(events.InstanceChanged(instance="", profile="a", state="failed", code="engine_lost"))
    told.instance("a-2", "starting")
    assert told.witness.doubles == []
    assert told.witness.loads.crashes == 1


def test_more_than_the_budget_is_found() -> None:
    told = Told()
    for used in (99 * MIB, 101 * MIB):
        told.witness.look((), (DeviceMemory(device="host", total=0, free=0, budget=0, used=used),))
    assert len(told.witness.over) == 1
    assert "held by" in told.witness.over[0]
    assert told.witness.peak == {"host": 101 * MIB}


def test_waits_and_their_bound() -> None:
    told = Told()
    told.instance("a-1", "starting", at=10.0)
    told.instance("a-1", "loading", "ready", at=30.0)
    told(events.RequestQueued(request="r-1", profile="a", position=2))
    told.granted("r-1", "a-1", 25.0)
    told.granted("r-2", "a-1", 0.0)
    told(events.LeaseEnded(request="r-1", profile="a", instance="a-1", status=200, held_s=3.0))
    (wait,) = told.witness.waits()
    assert (wait.request, wait.waited_s, wait.position) == ("r-1", 25.0, 2)
    assert wait.starvation_s == 60.0  # three loads of 20 s
    assert wait.allowed_s == 60.0 + 23.0 + 2 * 3.0
    assert seen_by(told.witness, {}).waits.bound_s == 60.0


def test_a_wait_beyond_its_bound_is_a_violation() -> None:
    told = Told()
    told.granted("r-1", "a-1", 31.0)
    (found,) = judged([], 0, told.witness)
    assert (found.kind, found.request) == ("waited", "r-1")


def test_what_fell_with_a_killed_engine_is_nobodys_fault() -> None:
    told = Told()
    told.granted("r-1", "a-1")
    told.witness.killed("a-1", "a")
    lost = Cut("engine_lost", "The engine ended.")
    assert judged([entry(lost)], 1, told.witness) == []
    assert judged([entry(Broken("the connection ended inside"), stream=False)], 1, told.witness) == []
    (found,) = judged([entry(lost, "r-2")], 1, told.witness)
    assert found.kind == "cut"
    (broken,) = judged([entry(Broken("half an event"))], 1, told.witness)
    assert broken.kind == "lost"


def test_loads_that_are_killed_until_the_gateway_gives_up() -> None:
    told = Told()
    refused = entry(Refused(502, "engine_killed", "It died by SIGKILL.", None))
    for number in range(3):
        assert len(judged([refused], 1, told.witness)) == 1
        told.instance(f"a-{number}", "starting", "loading")
        told.witness.killed(f"a-{number}", "a")
        told.instance(f"a-{number}", "stopped")
    assert judged([refused], 1, told.witness) == []


def test_each_request_has_one_fate() -> None:
    assert [each.kind for each in judged([], 2, None)] == ["lost", "lost"]
    assert judged([entry(Answered(1))], 1, None) == []
    assert judged([entry(Left("waiting"))], 1, None) == []
    twice = judged([entry(Answered(1)), entry(Answered(1))], 1, None)
    assert [each.what for each in twice] == ["1 requests had more than one fate"]


def test_refusals_that_mean_not_now_are_fine_others_are_not() -> None:
    assert judged([entry(Refused(503, "queue_full", "Full.", 3.0))], 1, None) == []
    (found,) = judged([entry(Refused(502, "load_failed", "It ended.", None))], 1, None)
    assert (found.kind, found.what) == ("refused", "502 load_failed: It ended.")
