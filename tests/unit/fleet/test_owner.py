"""The fleet's owner: effects are carried out, callers get leases or errors, nothing is left behind."""

from __future__ import annotations

from pathlib import Path

import anyio
import anyio.lowlevel
import msgspec
import pytest
from fleet_world import GIB, world

from hostler.config.settings import LimitSettings
from hostler.errors import Draining, EngineLost, LoadFailed, ModelError, RequestCancelled
from hostler.events import InstanceChanged, LeaseEnded, LeaseGranted, LoadProgress, Swap
from hostler.fleet.learning.measurements import Measurements

pytestmark = pytest.mark.anyio


async def test_a_request_loads_its_profile_and_the_next_is_granted_at_once(tmp_path: Path) -> None:
    async with world(tmp_path, {"a": GIB}) as w:
        assert w.fleet.lease_now("a", "r1", "me", "openai") is None
        lease = await w.fleet.ask("a", "r1", "me", "openai").wait()
        assert (lease.profile, lease.endpoint.port) == ("a", 1)
        assert w.fleet.lease_now("a", "r2", "me", "openai") is None
        lease.end(200)
        lease.end(200)
        again = w.fleet.lease_now("a", "r3", "me", "openai")
        assert again is not None
        again.end(200)
        assert w.runner.loads == ["a"]
        assert [type(e) for e in w.events(LeaseGranted)] == [LeaseGranted] * 2
        assert [e.status for e in w.events(LeaseEnded)] == [200, 200]
        assert w.fleet.recent() == "a"


async def test_a_model_whose_file_name_is_no_text_can_be_shown(tmp_path: Path) -> None:
    async with world(tmp_path, {"a": GIB}) as w:
        w.runner.argv = ("engine", "--model", "/models/caf\udce9.gguf")
        await w.fleet.load("a")
        assert rb"/models/caf\\udce9.gguf" in msgspec.json.encode(w.fleet.instances())


async def test_many_callers_share_one_load(tmp_path: Path) -> None:
    async with world(tmp_path, {"a": GIB}) as w:
        served = 0

        async def call(number: int) -> None:
            nonlocal served
            lease = await w.fleet.ask("a", f"r{number}", "me", "openai").wait()
            await anyio.lowlevel.checkpoint()
            lease.end(200)
            served += 1

        async with anyio.create_task_group() as group:
            for number in range(20):
                group.start_soon(call, number)
        assert served == 20
        assert w.runner.loads == ["a"]


async def test_profiles_that_do_not_fit_together_take_turns(tmp_path: Path) -> None:
    async with world(tmp_path, {"a": 6 * GIB, "b": 6 * GIB}) as w:

        async def call(profile: str, number: int) -> None:
            lease = await w.fleet.ask(profile, f"{profile}{number}", "me", "openai").wait()
            assert sum(1 for i in w.runner.running) == 1
            await anyio.lowlevel.checkpoint()
            lease.end(200)

        async with anyio.create_task_group() as group:
            for number in range(10):
                group.start_soon(call, "a", number)
                group.start_soon(call, "b", number)
        assert w.events(Swap)


async def test_a_failed_load_tells_its_callers_why_and_spares_the_resident(tmp_path: Path) -> None:
    async with world(tmp_path, {"a": 4 * GIB, "b": 4 * GIB}) as w:
        (await w.fleet.ask("a", "r1", "me", "openai").wait()).end(200)
        w.runner.fail["b"] = LoadFailed("It ended with status 1.")
        with pytest.raises(LoadFailed, match="status 1"):
            await w.fleet.ask("b", "r2", "me", "openai").wait()
        assert w.states() == {"a": "ready"}
        assert w.fleet.profile("b").state == "failed"
        assert w.fleet.profile("b").reason == "It ended with status 1."
        with pytest.raises(LoadFailed):
            w.fleet.ask("b", "r3", "me", "openai")


async def test_the_class_of_a_failure_is_in_its_event_and_in_every_refusal_after_it(tmp_path: Path) -> None:
    async with world(tmp_path, {"a": GIB}) as w:
        error = w.runner.fail["a"] = LoadFailed("It lacks a tensor.", hint="Fetch it again.")
        error.cause, error.evidence = "missing_tensor", "missing tensor 'output.weight'"
        with pytest.raises(LoadFailed):
            await w.fleet.ask("a", "r1", "me", "openai").wait()
        (failed,) = [event for event in w.events(InstanceChanged) if event.state == "failed"]
        assert (failed.cause, failed.evidence, failed.hint) == (error.cause, error.evidence, "Fetch it again.")
        with pytest.raises(LoadFailed) as refused:
            w.fleet.ask("a", "r2", "me", "openai")
        assert (refused.value.cause, refused.value.evidence) == (error.cause, error.evidence)
        standing = w.fleet.profile("a")
        assert standing.error is error


async def test_a_device_that_stays_slow_is_noted_where_it_matters(tmp_path: Path) -> None:
    async with world(tmp_path, {"a": GIB}) as w:
        await w.fleet.load("a")
        assert w.fleet.instances()[0].notes == ()
        w.throttled = {"host": ("power", "heat"), "gpu0": ("heat",)}
        assert w.fleet.instances()[0].notes == ("host is slower than it could be (heat, power)",)


async def test_nothing_is_evicted_for_a_model_that_cannot_load(tmp_path: Path) -> None:
    async with world(tmp_path, {"a": 6 * GIB, "b": 6 * GIB}) as w:
        (await w.fleet.ask("a", "r1", "me", "openai").wait()).end(200)
        w.runner.refuse["b"] = ModelError("b.gguf: truncated at byte 9.")
        with pytest.raises(ModelError, match="byte 9"):
            await w.fleet.ask("b", "r2", "me", "openai").wait()
        assert w.states() == {"a": "ready"}


async def test_a_crash_is_told_and_the_next_request_works(tmp_path: Path) -> None:
    async with world(tmp_path, {"a": GIB}) as w:
        (await w.fleet.ask("a", "r1", "me", "openai").wait()).end(200)
        w.runner.error = EngineLost("It died by SIGSEGV.")
        w.runner.crash["a"].set()
        await w.until(lambda: not w.fleet.instances())
        failed = [e for e in w.events(InstanceChanged) if e.state == "failed"]
        assert [e.reason for e in failed] == ["It died by SIGSEGV."]
        (await w.fleet.ask("a", "r2", "me", "openai").wait()).end(200)
        assert w.runner.loads == ["a", "a"]


async def test_who_has_lost_an_engine_hears_why_as_soon_as_its_end_is_known(tmp_path: Path) -> None:
    async with world(tmp_path, {"a": GIB}) as w:
        lease = await w.fleet.ask("a", "r1", "me", "openai").wait()
        assert await lease.why(0.0) is None
        w.runner.error = EngineLost("It died by SIGSEGV.")
        w.runner.error.cause = "crashed"
        w.runner.crash["a"].set()
        with anyio.fail_after(5):
            why = await lease.why(60.0)
        assert why is lease.lost is w.runner.error
        await w.until(lambda: not w.fleet.instances())
        assert await lease.why(60.0) is why
        lease.end(502)


async def test_a_caller_who_leaves_in_the_queue_causes_no_load(tmp_path: Path) -> None:
    async with world(tmp_path, {"a": 6 * GIB, "b": 6 * GIB}) as w:
        lease = await w.fleet.ask("a", "r1", "me", "openai").wait()
        with anyio.move_on_after(0.02):
            await w.fleet.ask("b", "r2", "me", "openai").wait()
        lease.end(200)
        await anyio.wait_all_tasks_blocked()
        assert w.runner.loads == ["a"]


async def test_an_abandoned_lease_keeps_its_slot_until_the_engine_is_free(tmp_path: Path) -> None:
    async with world(tmp_path, {"a": GIB}) as w:
        lease = await w.fleet.ask("a", "r1", "me", "openai").wait()
        w.runner.busy["all"] = 1
        lease.end(499, abandoned="streaming")
        assert w.fleet.lease_now("a", "r2", "me", "openai") is None
        w.runner.busy["all"] = 0
        ticket = w.fleet.ask("a", "r2", "me", "openai")
        (await ticket.wait()).end(200)
        assert w.runner.loads == ["a"]


async def test_switch_leaves_only_the_wanted_and_the_pinned(tmp_path: Path) -> None:
    async with world(tmp_path, {"a": GIB, "b": GIB, "p": GIB}) as w:
        w.pins.add("p")
        for profile in ("a", "p"):
            await w.fleet.load(profile)
        assert await w.fleet.switch("b") == ("a",)
        assert w.states() == {"p": "ready", "b": "ready"}
        assert await w.fleet.switch("a", keep=True) == ()
        assert set(w.states()) == {"a", "b", "p"}


async def test_switch_waits_for_the_running_request_of_the_other(tmp_path: Path) -> None:
    async with world(tmp_path, {"a": 6 * GIB, "b": 6 * GIB}) as w:
        lease = await w.fleet.ask("a", "r1", "me", "openai").wait()
        async with anyio.create_task_group() as group:
            group.start_soon(w.fleet.switch, "b")
            await w.until(lambda: w.fleet.profile("b").waiting == 1)
            assert w.runner.loads == ["a"]
            lease.end(200)
        assert w.states() == {"b": "ready"}


async def test_unload_waits_until_the_process_is_gone(tmp_path: Path) -> None:
    async with world(tmp_path, {"a": GIB}) as w:
        await w.fleet.load("a")
        assert await w.fleet.unload("a")
        assert not w.runner.running
        assert not await w.fleet.unload("a")


async def test_cancel_reaches_queued_and_running_requests(tmp_path: Path) -> None:
    async with world(tmp_path, {"a": GIB}) as w:
        lease = await w.fleet.ask("a", "r1", "me", "openai").wait()
        cancelled: list[str] = []
        lease.on_cancel(lambda: cancelled.append("r1"))
        queued = w.fleet.ask("a", "r2", "me", "openai")
        assert {r.id: r.state for r in w.fleet.requests()} == {"r1": "running", "r2": "queued"}
        assert w.fleet.cancel("r2")
        with pytest.raises(RequestCancelled):
            await queued.wait()
        assert w.fleet.cancel("r1")
        assert cancelled == ["r1"]
        assert not w.fleet.cancel("r9")
        lease.end(499)


async def test_a_lease_taken_back_before_its_holder_listens_is_told_when_he_does(tmp_path: Path) -> None:
    async with world(tmp_path, {"a": GIB}) as w:
        lease = await w.fleet.ask("a", "r1", "me", "openai").wait()
        assert w.fleet.cancel("r1")
        heard: list[bool] = []
        lease.on_cancel(lambda: heard.append(lease.cancelled))
        assert heard == [True]
        lease.end(499)


async def test_draining_lets_what_runs_finish_and_refuses_the_rest(tmp_path: Path) -> None:
    async with world(tmp_path, {"a": GIB}) as w:
        lease = await w.fleet.ask("a", "r1", "me", "openai").wait()
        queued = w.fleet.ask("a", "r2", "me", "openai")
        async with anyio.create_task_group() as group:
            group.start_soon(w.fleet.drain, 10.0)
            await anyio.wait_all_tasks_blocked()
            with pytest.raises(Draining):
                w.fleet.ask("a", "r3", "me", "openai")
            with pytest.raises(Draining) as refused:
                await queued.wait()
            assert refused.value.retry_after_s
            assert w.fleet.counts() == (1, 0)
            lease.end(200)


async def test_a_drain_is_bounded(tmp_path: Path) -> None:
    async with world(tmp_path, {"a": GIB}) as w:
        lease = await w.fleet.ask("a", "r1", "me", "openai").wait()
        with anyio.fail_after(5):
            await w.fleet.drain(0.05)
        assert w.fleet.counts() == (1, 0)
        lease.end(200)


async def test_standing_tells_place_stage_and_estimated_fraction(tmp_path: Path) -> None:
    async with world(tmp_path, {"a": GIB}, limits=LimitSettings(backoff_s=0)) as w:
        w.runner.hold.add("a")
        first = w.fleet.ask("a", "r1", "me", "openai")
        second = w.fleet.ask("a", "r2", "me", "openai")
        await w.until(lambda: "a" in w.runner.release)
        assert (first.standing().position, second.standing().position) == (1, 2)
        assert second.standing().stage == "loading tensors"
        assert second.standing().fraction is None
        w.runner.release["a"].set()
        (await first.wait()).end(200)
        (await second.wait()).end(200)
        await w.fleet.unload("a")
        third = w.fleet.ask("a", "r3", "me", "openai")
        await w.until(lambda: w.states() == {"a": "loading"})
        fraction = third.standing().fraction
        assert fraction is not None
        assert 0 <= fraction < 1
        assert w.events(LoadProgress)
        third.leave()
        w.runner.release["a"].set()


async def test_measurements_outlive_the_gateway(tmp_path: Path) -> None:
    async with world(tmp_path, {"a": GIB}) as w:
        await w.fleet.load("a")
        await w.until(lambda: (tmp_path / "measurements.json").exists())
    known = Measurements(tmp_path / "measurements.json").get("k1")
    assert known is not None
    assert known.bytes == {"host": GIB}
    assert known.tokens_per_s == 100.0


async def test_the_speed_of_an_engine_that_stops_is_kept(tmp_path: Path) -> None:
    """The proof that it is ready is one token, which tells none: a list showed no speed of what had answered."""
    async with world(tmp_path, {"a": GIB}) as w:
        lease = await w.fleet.ask("a", "r1", "me", "openai").wait()
        lease.measured(50.0)
        lease.end(200)
        await w.fleet.unload("a")
        known = w.measurements.get("k1")
        assert known is not None
        assert known.tokens_per_s == 0.8 * 100.0 + 0.2 * 50.0


async def test_a_profile_that_changes_while_it_is_prepared_is_prepared_again(tmp_path: Path) -> None:
    """It was started with the settings of before, and kept them until the next change."""
    async with world(tmp_path, {"a": GIB}) as w:
        w.runner.prepare = anyio.Event()
        ticket = w.fleet.ask("a", "r1", "me", "openai")
        await w.until(lambda: w.runner.preparing == 1)
        w.keys["a"] = "k2"
        w.fleet.reconfigured()
        w.runner.prepare.set()
        (await ticket.wait()).end(200)
        w.fleet.reconfigured()
        await anyio.wait_all_tasks_blocked()
        assert (w.runner.loads, w.states()) == (["a"], {"a": "ready"})


async def test_a_changed_profile_is_started_anew_for_the_next_request(tmp_path: Path) -> None:
    async with world(tmp_path, {"a": GIB, "b": GIB}) as w:
        await w.fleet.load("a")
        await w.fleet.load("b")
        w.keys["a"] = "k2"
        w.fleet.reconfigured()
        await w.until(lambda: w.states() == {"b": "ready"})
        (await w.fleet.ask("a", "r1", "me", "openai").wait()).end(200)
        assert w.runner.loads == ["a", "b", "a"]


async def test_a_bug_in_one_run_is_told_and_ends_only_that_run(tmp_path: Path) -> None:
    """An OSError from a driver once went up through the task group and took the gateway with it."""
    async with world(tmp_path, {"a": GIB, "b": GIB}) as w:
        await w.fleet.load("a")
        w.runner.bugs.add("b")
        with pytest.raises(LoadFailed, match="no such device"):
            await w.fleet.load("b")
        assert w.states() == {"a": "ready"}
        assert w.fleet.profile("b").state == "failed"


async def test_an_unload_at_once_ends_running_requests_instead_of_moving_them(tmp_path: Path) -> None:
    """The relay used to see a lost engine, asked again, and loaded what the operator had just unloaded."""
    async with world(tmp_path, {"a": GIB}) as w:
        lease = await w.fleet.ask("a", "r1", "me", "openai").wait()
        told: list[bool] = []
        lease.on_cancel(lambda: told.append(lease.cancelled))
        assert await w.fleet.unload("a", now=True)
        assert told == [True]
        lease.end(499)
