"""After a load its bytes, and after the first answers its speed, are compared with the plan."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest
from fleet_world import GIB, World, world

from hostler.engines.protocol import Buffer
from hostler.events import PlacementMeasured, SlowerThanPredicted
from hostler.fleet.learning.experience import Experience
from hostler.fleet.learning.pace import Condition
from hostler.fleet.leases import HeldLease
from hostler.fleet.protocol import Timing
from hostler.fleet.recovery.ladder import NONE as NONE_CHANGED
from hostler.placement.corrections import NONE
from hostler.testing.specs import SHAPE

pytestmark = pytest.mark.anyio

LITTLE = 64 * 2**20  # less than planned: nothing spills
SLOW, FAST = Timing(0, 300, 300.0, 33, 32e3), Timing(0, 300, 0.3, 33, 0.032)


async def _lease(w: World, request: str = "r1", profile: str = "a") -> HeldLease:
    return await w.fleet.ask(profile, request, "me", "openai").wait()


async def _answer(w: World, timing: Timing, request: str = "r1") -> None:
    lease = await _lease(w, request)
    lease.measured(10.0, timing)
    lease.end(200)


def _slow(w: World) -> list[SlowerThanPredicted]:
    return [e for e in w.events(SlowerThanPredicted) if isinstance(e, SlowerThanPredicted)]


async def test_a_load_is_compared_with_its_plan_and_corrects_the_next(tmp_path: Path) -> None:
    async with world(tmp_path, {"a": GIB}) as w:
        planned = w.spec("a", NONE_CHANGED)[0].plan.bytes["host"]
        weights = (planned.weights + planned.mapped) / 2**20
        w.runner.buffers = (Buffer("host", "model", weights), Buffer("host", "compute", 1.5 * planned.compute / 2**20))
        (await _lease(w)).end(200)
        [event] = w.events(PlacementMeasured)
        assert isinstance(event, PlacementMeasured)
        assert set(event.devices) == {"host"}
        assert set(event.devices["host"]) == {"weights", "compute"}
        assert not [text for text in event.warnings if "weights" in text]
        assert event.held == {"host": 1024.0}
        await w.until(lambda: Experience(tmp_path).residuals.corrections(SHAPE, "b1") != NONE)
        corrected = Experience(tmp_path).residuals.corrections(SHAPE, "b1").applied("host", planned)
        assert corrected.compute == pytest.approx(1.5 * planned.compute, rel=0.01)


async def test_an_engine_that_reports_nothing_is_not_compared(tmp_path: Path) -> None:
    async with world(tmp_path, {"a": GIB}) as w:
        (await _lease(w)).end(200)
        assert w.events(PlacementMeasured) == []


async def test_a_state_folder_that_cannot_be_written_is_no_failure(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    folder.write_text("a file where the folder should be")
    async with world(folder, {"a": GIB}) as w:
        w.runner.buffers = (Buffer("host", "compute", 10.0),)
        (await _lease(w)).end(200)
        assert w.states() == {"a": "ready"}


async def test_three_slow_answers_are_told_once_with_their_cause(tmp_path: Path) -> None:
    async with world(tmp_path, {"a": LITTLE}) as w:
        w.conditions["host"] = Condition(throttling=("thermal limit",))
        for number in range(6):
            await _answer(w, SLOW, f"r{number}")
        await w.until(lambda: bool(_slow(w)))
        [event] = _slow(w)
        assert (event.profile, event.phase, event.cause) == ("a", "decode", "throttled")
        assert event.measured < 0.75 * event.predicted
        assert "thermal limit" in event.reason
        assert w.taught == []  # what throttles does not say how quick the device is


async def test_without_a_cause_the_answers_teach(tmp_path: Path) -> None:
    async with world(tmp_path, {"a": LITTLE}) as w:
        predicted = w.spec("a", NONE_CHANGED)[0].plan.speeds[0].decode.value
        for number in range(3):
            await _answer(w, Timing(0, 30, 1.0, 33, 32e3 / (0.6 * predicted)), f"r{number}")
        await w.until(lambda: bool(w.taught))
        assert [event.cause for event in _slow(w)] == ["unknown"]
        assert w.taught == [("a", 3)]


async def test_far_too_slow_has_a_cause_that_nobody_sees_and_teaches_nothing(tmp_path: Path) -> None:
    async with world(tmp_path, {"a": LITTLE}) as w:
        for number in range(3):
            await _answer(w, SLOW, f"r{number}")
        await w.until(lambda: bool(_slow(w)))
        await anyio.wait_all_tasks_blocked()
        assert [event.cause for event in _slow(w)] == ["unknown"]
        assert "hostler calibrate" in _slow(w)[0].reason
        assert w.taught == []


async def test_answers_as_quick_as_predicted_are_not_told_and_teach(tmp_path: Path) -> None:
    async with world(tmp_path, {"a": LITTLE}) as w:
        for number in range(5):
            await _answer(w, FAST, f"r{number}")
        await w.until(lambda: bool(w.taught))
        assert _slow(w) == []
        assert w.taught == [("a", 3)]


async def test_requests_at_the_same_time_do_not_count(tmp_path: Path) -> None:
    async with world(tmp_path, {"a": LITTLE, "b": LITTLE}) as w:
        for number in range(4):
            one = await _lease(w, f"a{number}")
            other = await _lease(w, f"b{number}", "b")
            for lease in (one, other):
                lease.measured(10.0, SLOW)
                lease.end(200)
        await anyio.wait_all_tasks_blocked()
        assert _slow(w) == []
        assert w.taught == []


async def test_every_instance_is_judged_anew(tmp_path: Path) -> None:
    async with world(tmp_path, {"a": LITTLE}) as w:
        for load in range(2):
            for number in range(3):
                await _answer(w, SLOW, f"r{load}{number}")
            await w.until(lambda: len(_slow(w)) == load + 1)  # noqa: B023 - awaited within the round
            await w.fleet.unload("a")
        assert len({event.instance for event in _slow(w)}) == 2
