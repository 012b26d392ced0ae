"""Pins on request: they hold from now on, whatever the configuration says, and end with an unload."""

from __future__ import annotations

from pathlib import Path

import pytest
from fleet_world import GIB, world
from scheduler_yard import Yard

from hostler.errors import NeverFits
from hostler.fleet.scheduling import messages as m

BOTH = {"a": 6 * GIB, "b": 6 * GIB}


def test_what_is_pinned_on_request_makes_no_room() -> None:
    yard = Yard(BOTH)
    yard.resident("a")
    yard.tell(m.Pin("a", True))
    yard.now = 100.0
    assert isinstance(yard.refused(yard.ask("b")), NeverFits)
    assert yard.stopped() == []


def test_a_profile_is_pinned_before_it_is_loaded() -> None:
    yard = Yard(BOTH)
    yard.tell(m.Pin("a", True))
    a = yard.resident("a")
    assert yard.state.instances[a].pin


def test_what_the_configuration_pins_is_unpinned_on_request() -> None:
    yard = Yard(BOTH)
    yard.pins = {"a"}
    a = yard.resident("a")
    yard.tell(m.Pin("a", False))
    yard.ask("b")
    assert yard.stopped() == [a]


def test_an_unload_ends_the_pin() -> None:
    yard = Yard(BOTH)
    yard.resident("a")
    yard.tell(m.Pin("a", True))
    yard.tell(m.Unload("a", False, "test"))
    assert yard.state.pins == {}


def test_a_configuration_that_says_the_same_or_removes_the_profile_ends_it() -> None:
    yard = Yard(BOTH)
    a = yard.resident("a")
    yard.tell(m.Pin("a", True))
    yard.tell(m.Pin("b", True))
    yard.tell(m.Configured({"a": ("k", False, None)}))
    assert yard.state.instances[a].pin
    assert yard.state.pins == {"a": True}
    yard.tell(m.Configured({"a": ("k", True, None)}))
    assert yard.state.pins == {}
    assert yard.state.instances[a].pin


def test_who_waits_for_the_room_of_what_is_pinned_now_gets_that_of_another() -> None:
    yard = Yard({"a": 5 * GIB, "b": 5 * GIB, "c": 5 * GIB})
    a, b = yard.resident("a"), yard.resident("b")
    yard.ask("a")
    yard.ask("b")
    waiting = yard.ask("c")
    yard.now = 31.0
    yard.tell(m.Tick())
    closed, other = (a, b) if yard.state.instances[a].closed_for else (b, a)
    yard.tell(m.Pin(yard.state.instances[closed].profile, True))
    assert yard.state.instances[closed].closed_for is None
    yard.tell(m.Release(other, healthy=True))
    assert yard.stopped() == [other]
    yard.tell(m.Gone(other, None))
    yard.loaded("c")
    assert yard.granted(waiting)


@pytest.mark.anyio
async def test_lists_show_the_pin_that_holds(tmp_path: Path) -> None:
    async with world(tmp_path, {"a": GIB}) as fleet_world:
        fleet = fleet_world.fleet
        assert fleet.profile("a").pin is None
        fleet.pin("a", True)
        await fleet.load("a")
        assert fleet.profile("a").pin is True
        (instance,) = fleet.instances()
        assert (instance.pinned, instance.why) == (True, "pinned on request")
        assert instance.leaves is None
