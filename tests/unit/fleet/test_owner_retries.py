"""An engine that runs out of memory is loaded again in another way, while its callers wait."""

from __future__ import annotations

from pathlib import Path

import pytest
from fleet_world import GIB, World, ran_out, world

from hostler.errors import EngineLost, LoadFailed, NeverFits, OutOfMemory, Shortage
from hostler.events import InstanceChanged, LoadRetried
from hostler.fleet.learning.experience import Experience

pytestmark = pytest.mark.anyio


def _retries(w: World) -> list[tuple[str, str, int]]:
    return [(e.rung, e.what, e.attempt) for e in w.events(LoadRetried) if isinstance(e, LoadRetried)]


async def _answered(w: World, request: str = "r1") -> None:
    (await w.fleet.ask("a", request, "me", "openai").wait()).end(200)


async def test_a_request_waits_while_its_profile_takes_two_rungs(tmp_path: Path) -> None:
    async with world(tmp_path, {"a": GIB}) as w:
        w.runner.largest_ubatch["a"] = 128
        await _answered(w)
        assert _retries(w) == [("ubatch", "ubatch 256 instead of 512", 1), ("ubatch", "ubatch 128 instead of 256", 2)]
        assert w.runner.loads == ["a", "a", "a"]
        assert not [e for e in w.events(InstanceChanged) if isinstance(e, InstanceChanged) and e.state == "failed"]
        [shown] = w.fleet.instances()
        assert shown.changed == ("ubatch 128 instead of 512, after running out of memory on host",)


async def test_the_next_load_starts_where_it_worked_even_in_another_gateway(tmp_path: Path) -> None:
    async with world(tmp_path, {"a": GIB}) as w:
        w.runner.largest_ubatch["a"] = 256
        await _answered(w)
        await w.until(lambda: Experience(tmp_path).retries.of("k1").ubatch == 256)
    async with world(tmp_path, {"a": GIB}) as w:
        w.runner.largest_ubatch["a"] = 256
        await _answered(w)
        assert w.runner.loads == ["a"]
        assert _retries(w) == []
        assert w.fleet.instances()[0].changed


async def test_other_settings_are_asked_for_as_they_are_and_so_are_those_of_before(tmp_path: Path) -> None:
    async with world(tmp_path, {"a": GIB}) as w:
        w.runner.largest_ubatch["a"] = 256
        await _answered(w)
        w.runner.largest_ubatch.clear()
        for key in ("k2", "k1"):
            w.keys["a"] = key
            w.fleet.reconfigured()
            await w.until(lambda: not w.fleet.instances())
            await _answered(w, key)
            assert w.fleet.instances()[0].changed == ()


async def test_another_build_is_tried_as_the_profile_asks(tmp_path: Path) -> None:
    async with world(tmp_path, {"a": GIB}) as w:
        w.runner.largest_ubatch["a"] = 256
        await _answered(w)
        await w.fleet.unload("a")
        w.build = "b2"
        w.runner.largest_ubatch.clear()
        await _answered(w, "r2")
        assert w.fleet.instances()[0].changed == ()


async def test_at_the_end_of_the_ladder_the_error_says_what_was_tried_and_the_next_time_starts_afresh(
    tmp_path: Path,
) -> None:
    async with world(tmp_path, {"a": GIB}) as w:
        w.runner.largest_ubatch["a"] = 0
        with pytest.raises(OutOfMemory, match=r"Tried as well: ubatch 256 instead of 512; .*context 4096") as failed:
            await w.fleet.ask("a", "r1", "me", "openai").wait()
        assert "`context`" in failed.value.hint
        assert len(_retries(w)) == 5  # 512 to 64, and 16384 to 4096
        assert w.fleet.profile("a").state == "failed"
        w.runner.largest_ubatch.clear()
        await w.fleet.load("a")
        assert w.fleet.instances()[0].changed == ()


async def test_without_rungs_the_first_failure_is_final(tmp_path: Path) -> None:
    async with world(tmp_path, {"a": GIB}) as w:
        w.rungs = ()
        w.runner.largest_ubatch["a"] = 128
        with pytest.raises(OutOfMemory):
            await w.fleet.ask("a", "r1", "me", "openai").wait()
        assert w.runner.loads == ["a"]


async def test_a_change_that_cannot_be_planned_gives_way_to_another_rung(tmp_path: Path) -> None:
    async with world(tmp_path, {"a": GIB}) as w:
        w.refuse_ubatch = 256
        w.runner.fail["a"] = ran_out("a")
        ticket = w.fleet.ask("a", "r1", "me", "openai")
        with pytest.raises(OutOfMemory):
            await ticket.wait()
        assert [rung for rung, _, _ in _retries(w)] == ["ubatch", "context"] * 2 + ["ubatch"]
        assert [what for rung, what, _ in _retries(w) if rung == "context"][-1] == "context 4096 instead of 8192"


async def test_what_is_remembered_but_can_no_longer_be_planned_is_forgotten(tmp_path: Path) -> None:
    async with world(tmp_path, {"a": GIB}) as w:
        w.runner.largest_ubatch["a"] = 256
        await _answered(w)
        await w.fleet.unload("a")
        w.runner.largest_ubatch.clear()
        w.refuse_ubatch = 256
        await _answered(w, "r2")
        assert w.fleet.instances()[0].changed == ()


async def test_what_never_fits_is_told_as_before(tmp_path: Path) -> None:
    async with world(tmp_path, {"a": GIB}) as w:
        w.refuse_ubatch = 512
        with pytest.raises(NeverFits):
            await w.fleet.ask("a", "r1", "me", "openai").wait()


async def test_another_kind_of_failure_takes_no_rung(tmp_path: Path) -> None:
    async with world(tmp_path, {"a": GIB}) as w:
        w.runner.fail["a"] = LoadFailed("It ended with status 1.")
        with pytest.raises(LoadFailed):
            await w.fleet.ask("a", "r1", "me", "openai").wait()
        assert _retries(w) == []


async def test_running_out_in_mid_run_takes_a_rung_for_the_next_load(tmp_path: Path) -> None:
    async with world(tmp_path, {"a": GIB}) as w:
        await _answered(w)
        lost = EngineLost("The engine of `a` ran out of memory.")
        lost.shortage = Shortage("", 0)
        w.runner.error = lost
        w.runner.crash["a"].set()
        await w.until(lambda: not w.fleet.instances())
        assert _retries(w) == [("ubatch", "ubatch 256 instead of 512", 1)]
        await _answered(w, "r2")
        assert w.fleet.instances()[0].changed


async def test_a_caller_who_leaves_ends_the_ladder(tmp_path: Path) -> None:
    async with world(tmp_path, {"a": GIB}) as w:
        w.runner.hold.add("a")
        w.runner.largest_ubatch["a"] = 128
        ticket = w.fleet.ask("a", "r1", "me", "openai")
        await w.until(lambda: "a" in w.runner.release)
        ticket.leave()
        w.runner.release["a"].set()
        await w.until(lambda: not w.fleet.instances())
        assert w.runner.loads == ["a"]


async def test_a_load_that_is_stopped_takes_no_rung(tmp_path: Path) -> None:
    async with world(tmp_path, {"a": GIB}) as w:
        w.runner.hold.add("a")
        ticket = w.fleet.ask("a", "r1", "me", "openai")
        await w.until(lambda: "a" in w.runner.release)
        ticket.leave()
        await w.fleet.unload("a")
        assert _retries(w) == []
