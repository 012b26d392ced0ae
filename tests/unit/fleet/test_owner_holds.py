"""Holds through the owner: loading for them, ending them, and what happens when a load fails."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest
from fleet_world import GIB, world

from hostler.errors import LoadFailed, NotFound

pytestmark = pytest.mark.anyio


async def test_a_hold_loads_and_takes_away(tmp_path: Path) -> None:
    async with world(tmp_path, {"a": GIB, "b": GIB}) as fleet_world:
        fleet = fleet_world.fleet
        await fleet.load("b")
        hold = await fleet.hold("a", 60.0)
        also = await fleet.hold("b", 60.0)
        assert fleet_world.states() == {"a": "ready", "b": "ready"}
        assert await fleet.end_hold(hold) == "a"
        assert await fleet.end_hold(also) == "b"
        assert fleet_world.states() == {"b": "ready"}


async def test_a_hold_is_prolonged_by_its_name_and_for_its_profile_alone(tmp_path: Path) -> None:
    async with world(tmp_path, {"a": GIB, "b": GIB}) as fleet_world:
        fleet = fleet_world.fleet
        hold = await fleet.hold("a", 60.0)
        assert await fleet.hold("a", 90.0, hold) == hold
        with pytest.raises(NotFound):
            await fleet.hold("b", 90.0, hold)
        with pytest.raises(NotFound):
            await fleet.end_hold("hold-0")


async def test_a_load_that_fails_holds_nothing(tmp_path: Path) -> None:
    async with world(tmp_path, {"a": GIB}) as fleet_world:
        fleet_world.runner.fail["a"] = LoadFailed("no")
        with pytest.raises(LoadFailed):
            await fleet_world.fleet.hold("a", 60.0)
        del fleet_world.runner.fail["a"]
        await fleet_world.fleet.load("a")
        assert await fleet_world.fleet.switch("a") == ()
        assert fleet_world.states() == {"a": "ready"}


async def test_a_switch_neither_ends_nor_waits_for_what_is_held(tmp_path: Path) -> None:
    async with world(tmp_path, {"a": GIB, "b": GIB}) as fleet_world:
        await fleet_world.fleet.hold("a", 60.0)
        assert await fleet_world.fleet.switch("b") == ()
        assert fleet_world.states() == {"a": "ready", "b": "ready"}


async def test_what_an_operator_loads_is_no_request_that_waits(tmp_path: Path) -> None:
    """The first line of `hostler top` told of one that its list of requests did not have."""
    async with world(tmp_path, {"a": GIB}) as fleet_world:
        fleet_world.runner.hold.add("a")
        async with anyio.create_task_group() as group:
            group.start_soon(fleet_world.fleet.load, "a")
            await fleet_world.until(lambda: "a" in fleet_world.runner.release)
            assert fleet_world.fleet.counts() == (0, 0)
            fleet_world.runner.release["a"].set()
