"""One process from start to reaped, with an engine that misbehaves in every way it can."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import anyio
import psutil
import pytest

from hostler.config.settings import LimitSettings
from hostler.engines.logs import path_for
from hostler.engines.processes import process
from hostler.engines.processes.group import end
from hostler.engines.processes.orphans import Records
from hostler.engines.processes.spawned import spawned
from hostler.engines.protocol import Ready, Stage, Started
from hostler.errors import (
    BuildUnusable,
    EngineLost,
    FlagUnsupported,
    KilledBySignal,
    LoadFailed,
    LoadTimeout,
    ModelError,
    OutOfMemory,
)
from hostler.testing import http
from hostler.testing.builds import write_build
from hostler.testing.processes import group_is_gone, group_of, runs

pytestmark = pytest.mark.anyio


async def test_ready_means_that_tokens_were_generated(runner, spec, run, tmp_path: Path) -> None:
    build = write_build(tmp_path)
    async with run(runner(), spec(build=str(build))) as engine:
        assert engine.failure is None
        assert engine.ready.endpoint.host == "127.0.0.1"
        assert isinstance(engine.reports[0], Started)
        assert Stage("generating a first token") in engine.reports
        pid = engine.started.pid
        assert [record.pid for record in Records(tmp_path / "state").all()] == [pid]

    assert group_is_gone(pid)
    assert Records(tmp_path / "state").all() == []


@pytest.mark.parametrize("task", ["completion", "embedding", "rerank"])
async def test_every_task_proves_itself(runner, spec, run, tmp_path: Path, task: str) -> None:
    async with run(runner(), spec(build=str(write_build(tmp_path)), task=task)) as engine:
        assert engine.failure is None
        assert isinstance(engine.reports[-1], Ready)


async def test_a_child_that_ignores_sigterm_is_killed(runner, spec, run, tmp_path: Path) -> None:
    build = write_build(tmp_path, ignore_term=True, devices="CUDA0")
    async with run(runner(grace_s=0.2), spec(build=str(build))) as engine:
        pid = engine.started.pid

    assert group_is_gone(pid)


async def test_one_that_computes_on_the_processor_alone_is_not_waited_for(runner, spec, run, tmp_path: Path) -> None:
    """A switch took up to 0.1 s longer, in which llama-server put away what nobody would need again."""
    build = write_build(tmp_path, ignore_term=True)
    with anyio.fail_after(60):
        async with run(runner(grace_s=600.0), spec(build=str(build))) as engine:
            pid = engine.started.pid

    assert group_is_gone(pid)


async def test_grandchildren_go_too(tmp_path: Path) -> None:
    """A child that ends at once at SIGTERM, and leaves one behind that ignores it."""
    script = "trap 'exit 0' TERM; (trap '' TERM; while :; do sleep 60; done) & echo up; wait"
    with await spawned(("/bin/sh", "-c", script), {}) as begun:
        await anyio.wait_readable(begun.output)
        family = [each for each in psutil.process_iter() if group_of(each.pid) == begun.child.pid]
        assert len(family) >= 2

        assert await end(begun.child, LimitSettings(grace_s=0.3, kill_s=5))

        assert not any(map(runs, family))


async def test_cancelling_while_it_loads_leaves_nothing(runner, spec, tmp_path: Path) -> None:
    build = write_build(tmp_path, slow_start_s=600)
    started: list[int] = []
    async with anyio.create_task_group() as tasks:
        told = anyio.Event()

        def report(each: object) -> None:
            if isinstance(each, Started):
                started.append(each.pid)
                told.set()

        tasks.start_soon(runner(grace_s=1).run, spec(build=str(build)), report)
        await told.wait()
        tasks.cancel_scope.cancel()

    assert group_is_gone(started[0])
    assert Records(tmp_path / "state").all() == []


@pytest.mark.parametrize(
    ("switches", "kind", "says"),
    [
        ({"die_at_load": "SIGILL"}, KilledBySignal, "SIGILL"),
        ({"die_at_load": "SIGKILL"}, KilledBySignal, "SIGKILL"),
        ({"die_at_load": "SIGSEGV"}, KilledBySignal, "SIGSEGV"),
        ({"oom": "CUDA0:8192"}, OutOfMemory, "8.0 GiB"),
        ({"exit_at_load": 3}, LoadFailed, ""),
        (
            {"load_log": "error loading model: missing tensor 'output.weight'", "exit_at_load": 1},
            LoadFailed,
            "output.weight",
        ),
        ({"error": 500}, LoadFailed, "500"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
async def test_a_failed_load_says_why(runner, spec, run, tmp_path: Path, switches, kind, says: str) -> None:
    build = write_build(tmp_path, **switches)
    async with run(runner(), spec(build=str(build))) as engine:
        assert isinstance(engine.failure, kind)
        assert says in engine.failure.message
        assert not any(isinstance(report, Ready) for report in engine.reports)
        assert group_is_gone(engine.started.pid)


async def test_an_engine_that_is_never_ready_is_given_up_with_its_stage(runner, spec, run, tmp_path: Path) -> None:
    build = write_build(tmp_path, never_ready=True)
    async with run(runner(load_s=2), spec(build=str(build))) as engine:
        assert isinstance(engine.failure, LoadTimeout)
        assert "generating a first token" in engine.failure.message
        assert group_is_gone(engine.started.pid)


async def test_an_engine_killed_later_is_lost(runner, spec, run, tmp_path: Path) -> None:
    async with run(runner(), spec(build=str(write_build(tmp_path)))) as engine:
        os.kill(engine.started.pid, signal.SIGKILL)
        with anyio.fail_after(10):
            await engine.ended.wait()
        assert isinstance(engine.failure, EngineLost)
        assert "SIGKILL" in engine.failure.message


async def test_a_port_taken_meanwhile_is_tried_again_once(runner, spec, tmp_path: Path) -> None:
    """Between choosing a free port and listening on it, something else may take it."""
    build = write_build(tmp_path, load_log="couldn't bind HTTP server socket", exit_at_load=1)
    reports: list[object] = []

    with pytest.raises(process.PortTaken):
        await runner().run(spec(build=str(build)), reports.append)

    assert sum(isinstance(report, Started) for report in reports) == 2


async def test_preflight_finds_what_can_be_found(runner, spec, tmp_path: Path) -> None:
    build = str(write_build(tmp_path))
    await runner().preflight(spec(build=build))
    with pytest.raises(FlagUnsupported, match="--frobnicate"):
        await runner().preflight(spec(build=build, extra_args=("--frobnicate", "1")))
    with pytest.raises(BuildUnusable, match="not an executable"):
        await runner().preflight(spec(build=str(tmp_path / "stand-in.gguf")))
    lost = spec(build=build)
    lost.model.path.unlink()
    with pytest.raises(ModelError, match="stand-in"):
        await runner().preflight(lost)


async def test_probe_and_slots_of_a_running_engine(runner, spec, run, tmp_path: Path) -> None:
    driver = runner()
    async with run(driver, spec(build=str(write_build(tmp_path)), slots=2)) as engine:
        endpoint = engine.ready.endpoint
        assert await driver.slots_busy(endpoint) == 0
        await driver.probe(endpoint, "chat")
    with pytest.raises(EngineLost):
        await driver.probe(endpoint, "chat")
    assert await driver.slots_busy(endpoint) is None
    assert driver.resident_bytes(engine.started.pid, spec()) is None


async def test_a_running_engine_shows_that_it_goes_on(runner, spec, run, tmp_path: Path) -> None:
    driver = runner()
    async with run(driver, spec(build=str(write_build(tmp_path, rate=50)))) as engine:
        endpoint = engine.ready.endpoint
        idle = await driver.progress(endpoint)
        assert idle is not None
        assert (idle.busy, idle.mark) == (0, ())
        body = {"model": "coder", "messages": [], "stream": True, "max_tokens": 10_000}
        key = {"Authorization": f"Bearer {endpoint.api_key}"}
        async with http.stream((endpoint.host, endpoint.port), "POST", "/v1/chat/completions", body, key) as answer:
            chunks = answer.chunks()
            await anext(chunks)
            first = await driver.progress(endpoint)
            for _ in range(3):
                await anext(chunks)
            later = await driver.progress(endpoint)
        assert first is not None
        assert later is not None
        assert first.busy == later.busy == 1
        assert first.mark != later.mark
    with pytest.raises(EngineLost):
        await driver.progress(endpoint)


async def test_a_log_that_cannot_be_written_does_not_stop_an_engine(runner, spec, run, tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("not a folder")
    async with run(runner(), spec(build=str(write_build(tmp_path)))) as engine:
        assert engine.failure is None


async def test_the_users_environment_cannot_change_an_engine(runner, spec, run, tmp_path, monkeypatch) -> None:
    """llama-server reads LLAMA_ARG_* for flags that are not given."""
    monkeypatch.setenv("LLAMA_ARG_CTX_SIZE", "7")
    build = tmp_path / "llama-server"
    write_build(tmp_path)
    build.write_text(build.read_text().replace("#!/bin/sh\n", "#!/bin/sh\nenv | cut -d= -f1 >&2\n"))
    async with run(runner(), spec(build=str(build), env={"MINE": "1"})):
        pass
    logged = path_for(tmp_path / "logs", "coder").read_text().splitlines()
    assert "MINE" in logged
    assert not [line for line in logged if line.startswith(("LLAMA_ARG_", "HOSTLER_"))]
