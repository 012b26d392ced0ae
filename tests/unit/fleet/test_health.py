"""Engines that run and do not work: told from long prompts, ended, and their requests given to a new one."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest
from fleet_world import GIB, World, world

from hostler.clock import ManualClock
from hostler.config.settings import LimitSettings
from hostler.engines.protocol import Progress
from hostler.errors import EngineLost
from hostler.events import EngineTrouble, InstanceChanged, MachineSlept
from hostler.fleet.leases import HeldLease
from hostler.fleet.recovery.pulse import ENCODING, Pulse, patience
from hostler.fleet.recovery.sleep import LEAST_S, SleepWatch
from hostler.fleet.runs import Runs, Yard
from hostler.fleet.slots import LOOKS_S
from hostler.testing.specs import SPEC

pytestmark = pytest.mark.anyio

QUICK = LimitSettings(stall_s=0.2, backoff_s=0)
STILL = Progress(busy=1, mark=((0, 1, 512, 0),))


async def _lease(w: World, request: str = "r1") -> HeldLease:
    return await w.fleet.ask("a", request, "me", "openai").wait()


async def _lost(lease: HeldLease) -> EngineLost | None:
    """Why the lease's engine was taken away, once it is."""
    told = anyio.Event()
    lease.on_cancel(told.set)
    with anyio.fail_after(10):
        await told.wait()
    lease.end(502)
    return lease.lost


async def test_an_engine_whose_slots_stand_still_is_started_anew(tmp_path: Path) -> None:
    async with world(tmp_path, {"a": GIB}, limits=QUICK) as w:
        w.runner.progresses = lambda looks: STILL
        error = await _lost(await _lease(w))
        assert error is not None
        assert error.cause == "hang"
        assert "nothing for" in error.message
        assert [(e.cause, e.profile) for e in w.events(EngineTrouble)] == [("hang", "a")]
        failed = [e for e in w.events(InstanceChanged) if e.state == "failed"]
        assert [e.cause for e in failed] == ["hang"]
        (await _lease(w, "r2")).end(200)
        assert w.runner.loads == ["a", "a"]


async def test_an_engine_that_answers_no_more_is_started_anew(tmp_path: Path) -> None:
    async with world(tmp_path, {"a": GIB}, limits=QUICK) as w:
        w.runner.progresses = None
        assert (await _lost(await _lease(w))) is not None


@pytest.mark.parametrize(
    "progress",
    [
        lambda looks: Progress(busy=1, mark=((0, 1, looks, 0),)),  # a prompt that takes long
        lambda looks: Progress(busy=1, mark=((0, 1, 512, looks),)),
        lambda looks: Progress(busy=0, mark=()),  # all said; the client reads slowly
        lambda looks: None,  # a program that does not tell
    ],
)
async def test_an_engine_that_goes_on_is_left_alone(tmp_path: Path, progress) -> None:
    async with world(tmp_path, {"a": GIB}, limits=QUICK) as w:
        w.runner.progresses = progress
        lease = await _lease(w)
        await w.until(lambda: w.runner.looked > 20)
        lease.end(200)
        assert w.runner.loads == ["a"]
        assert w.events(EngineTrouble) == []


async def test_nothing_is_asked_of_an_idle_engine(tmp_path: Path) -> None:
    async with world(tmp_path, {"a": GIB}, limits=QUICK) as w:
        (await _lease(w)).end(200)
        lease = await _lease(w)
        await w.until(lambda: w.runner.looked > 0)
        lease.end(200)
        assert w.runner.probed == 0


async def test_an_idle_engine_is_asked_for_a_token_where_that_is_wanted(tmp_path: Path) -> None:
    async with world(tmp_path, {"a": GIB}, limits=LimitSettings(idle_check_s=0.05, backoff_s=0)) as w:
        await w.fleet.load("a")
        await w.until(lambda: w.runner.probed > 1)
        assert w.states() == {"a": "ready"}
        w.runner.mute = True
        await w.until(lambda: bool(w.events(EngineTrouble)))
        await w.until(lambda: not w.runner.running)
        w.runner.mute = False
        await w.fleet.load("a")
        assert w.states() == {"a": "ready"}


async def test_a_slot_that_stays_busy_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(LOOKS_S, "streaming", (0.0, 0.0))
    async with world(tmp_path, {"a": GIB}) as w:
        lease = await _lease(w)
        w.runner.busy["all"] = 1
        lease.end(499, abandoned="streaming")
        await w.until(lambda: bool(w.events(EngineTrouble)))
        (told,) = w.events(EngineTrouble)
        assert told.cause == "wedged_slot"


async def test_after_a_sleep_idle_engines_show_that_they_work(tmp_path: Path) -> None:
    clock = ManualClock()
    async with world(tmp_path, {}) as w, anyio.create_task_group() as group:
        told: list[object] = []
        yard = Yard(told.append, w.fleet._runs._yard.around, dict, w.fleet._runs._yard.watch)
        runs = Runs(w.runner, w.experience, w.bus, clock, yard)
        runs.group = group
        runs.start(SPEC, "k1")
        await w.until(lambda: bool(told))
        await runs.measure()
        assert w.runner.probed == 0
        clock.suspend(3600)
        await runs.measure()
        await w.until(lambda: w.runner.probed == 1)
        (slept,) = w.events(MachineSlept)
        assert (slept.seconds, slept.rechecked) == (3600, (SPEC.profile,))
        await runs.measure()
        group.cancel_scope.cancel()
    assert w.runner.probed == 1


def test_a_clock_that_is_set_right_is_no_sleep() -> None:
    clock = ManualClock()
    watch = SleepWatch(clock)
    clock.advance(3600)
    assert watch.slept_s() == 0
    clock.suspend(LEAST_S - 1)
    assert watch.slept_s() == 0
    clock.suspend(-7200)
    assert watch.slept_s() == 0
    clock.suspend(LEAST_S)
    assert watch.slept_s() == pytest.approx(LEAST_S)
    assert watch.slept_s() == 0


def test_standing_still_begins_with_the_last_look_that_showed_something_new() -> None:
    pulse = Pulse(0.0)
    pulse.beat(STILL, 10.0)
    pulse.beat(STILL, 20.0)
    assert pulse.still_s(30.0) == 20.0
    pulse.beat(Progress(busy=1, mark=((0, 1, 1024, 0),)), 30.0)
    assert pulse.still_s(31.0) == 1.0
    pulse.rest(40.0)
    pulse.beat(STILL, 50.0)
    assert pulse.still_s(50.0) == 0.0


def test_what_encodes_pictures_may_take_longer() -> None:
    seeing = SPEC.model.__class__(name="x", files=(), size=0, origin="path", projector=Path("mmproj.gguf"))
    assert patience(SPEC, 120) == 120
    assert patience(type(SPEC)(**{f: getattr(SPEC, f) for f in SPEC.__struct_fields__} | {"model": seeing}), 120) == (
        120 * ENCODING
    )
