"""Somebody kills an engine while it loads: who waits for it is served all the same."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from fleet_world import GIB, World, world

from hostler.errors import KilledBySignal, LoadFailed
from hostler.events import InstanceChanged
from hostler.fleet.recovery.killed import TRIES, Killed

pytestmark = pytest.mark.anyio


def killed() -> KilledBySignal:
    error = KilledBySignal("It died by SIGKILL while loading.")
    error.cause = "killed"
    return error


async def _kill_load(w: World, number: int) -> None:
    """The load of that number is under way, and ended by a signal."""
    await w.until(lambda: len(w.runner.loads) == number and "a" in w.runner.release)
    w.runner.fail["a"] = killed()
    w.runner.release.pop("a").set()


async def test_a_load_that_was_killed_is_made_again_and_nobody_is_refused(tmp_path: Path) -> None:
    async with world(tmp_path, {"a": GIB}) as w:
        w.runner.hold.add("a")
        tickets = [w.fleet.ask("a", f"r{number}", "me", "openai") for number in range(3)]
        for number in range(1, TRIES + 1):
            await _kill_load(w, number)
        await w.until(lambda: "a" in w.runner.release)
        del w.runner.fail["a"]
        w.runner.release["a"].set()
        for ticket in tickets:
            (await asyncio.wait_for(ticket.wait(), 10)).end(200)
        assert w.runner.loads == ["a"] * (TRIES + 1)
        told = [event for event in w.events(InstanceChanged) if event.state == "stopped"]
        assert [event.code for event in told] == ["engine_killed"] * TRIES


async def test_what_is_killed_again_and_again_has_failed(tmp_path: Path) -> None:
    async with world(tmp_path, {"a": GIB}) as w:
        w.runner.fail["a"] = killed()
        with pytest.raises(KilledBySignal):
            await w.fleet.ask("a", "r1", "me", "openai").wait()
        assert len(w.runner.loads) == TRIES + 1
        assert w.fleet.profile("a").state == "failed"


def test_only_what_came_from_outside_counts_and_a_load_that_works_forgets() -> None:
    times = Killed()
    assert not times.again("k", LoadFailed("It ended with status 1."))
    assert times.again("k", killed())
    times.worked("k")
    assert [times.again("k", killed()) for _ in range(TRIES + 1)] == [True] * TRIES + [False]
