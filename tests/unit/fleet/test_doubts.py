"""Instances that lost a request: whoever asks again is not given the one that is about to end."""

from __future__ import annotations

from pathlib import Path

import anyio
import anyio.abc
import pytest
from fleet_world import GIB, ScriptedRunner, world
from scheduler_yard import Yard

from hostler.clock import ManualClock
from hostler.engines.protocol import Endpoint
from hostler.errors import EngineLost
from hostler.events import EngineTrouble
from hostler.fleet.recovery.doubts import TRIES, Doubts
from hostler.fleet.recovery.ladder import NONE
from hostler.fleet.recovery.returned import Held
from hostler.fleet.run import Run
from hostler.fleet.scheduling import messages as m
from hostler.hardware.occupancy import DeviceReading
from hostler.testing.specs import SPEC

pytestmark = pytest.mark.anyio


async def test_who_lost_an_engine_waits_for_its_end_and_gets_the_next_one(tmp_path: Path) -> None:
    """Its sockets were closed before its end was told, and three quick tries were spent on the one that was dying."""
    async with world(tmp_path, {"a": GIB}) as w:
        lease = await w.fleet.ask("a", "r1", "me", "openai").wait()
        w.runner.silent = EngineLost("The engine does not answer: Connection refused.")
        lease.doubt()
        lease.end(502)
        assert w.fleet.lease_now("a", "r1", "me", "openai") is None
        ticket = w.fleet.ask("a", "r1", "me", "openai")
        await anyio.wait_all_tasks_blocked()
        assert w.runner.loads == ["a"]
        w.runner.error = EngineLost("It died by SIGKILL.")
        w.runner.crash["a"].set()
        again = await ticket.wait()
        assert again.instance != lease.instance
        again.end(200)
        assert w.runner.loads == ["a", "a"]
        assert w.events(EngineTrouble) == []


async def test_an_engine_that_only_closed_a_connection_goes_on(tmp_path: Path) -> None:
    async with world(tmp_path, {"a": GIB}) as w:
        lease = await w.fleet.ask("a", "r1", "me", "openai").wait()
        lease.doubt()
        lease.doubt()
        lease.end(502)
        again = await w.fleet.ask("a", "r1", "me", "openai").wait()
        assert again.instance == lease.instance
        again.end(200)
        assert w.runner.asked == 1
        assert w.runner.loads == ["a"]


async def test_nobody_gets_an_engine_that_has_ended_while_its_memory_comes_back(tmp_path: Path) -> None:
    """The tasks of its run were over, so that a request that lost it got an error of ours in place of the next one."""
    async with world(tmp_path, {"a": GIB}) as w:
        lease = await w.fleet.ask("a", "r1", "me", "openai").wait()
        run = w.fleet._runs.get(lease.instance)
        assert run is not None
        run.held = {"host": Held(bytes=0, free=10 * GIB)}
        w.reading = {"host": DeviceReading(10 * GIB, 0, 0)}
        w.runner.error = EngineLost("It died by SIGKILL.")
        w.runner.crash["a"].set()
        await w.until(lambda: not w.runner.running and run.tasks is None)
        assert w.states() == {"a": "ready"}
        lease.doubt()
        lease.end(502)
        assert w.fleet.lease_now("a", "r1", "me", "openai") is None
        ticket = w.fleet.ask("a", "r1", "me", "openai")
        w.reading = {"host": DeviceReading(10 * GIB, 10 * GIB, 0)}
        again = await ticket.wait()
        assert again.instance != lease.instance
        again.end(200)


async def test_a_process_that_takes_no_connection_is_ended() -> None:
    runner, told, lost = ScriptedRunner(), list[m.Message](), list[EngineLost]()
    runner.silent = EngineLost("The engine does not answer: Connection refused.")
    run = Run(SPEC, "k", ManualClock(), None, NONE)
    run.endpoint = Endpoint("127.0.0.1", 1, "key")
    doubts = Doubts(runner, told.append, lambda _, error: lost.append(error), death_s=0.0)
    async with anyio.create_task_group() as run.tasks:
        doubts.about(run)
        doubts.about(run)
    assert told == [m.Doubted(SPEC.instance)]
    assert runner.asked == TRIES
    assert [error.cause for error in lost] == ["hang"]
    assert "the engine does not answer: Connection refused" in lost[0].message


def test_nothing_is_granted_on_a_doubted_instance_until_it_is_trusted() -> None:
    yard = Yard({"a": 1})
    yard.slots = 2
    instance = yard.resident("a")
    yard.tell(m.Doubted(instance))
    request, load = yard.ask("a"), yard.ask("a", lease=False)
    assert not yard.granted(request)
    assert not yard.granted(load)
    yard.tell(m.Trusted(instance))
    assert yard.granted(request)
    assert yard.granted(load)
    yard.tell(m.Trusted("gone-1"))
