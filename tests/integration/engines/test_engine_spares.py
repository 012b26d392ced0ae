"""Launchers that wait, so that a load need not start Python."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import anyio
import psutil
import pytest

from hostler.config.settings import LimitSettings
from hostler.engines.processes.spares import EMBEDDED, GUARD, Program, Spares
from hostler.engines.protocol import Endpoint
from hostler.engines.talking.exchange import ask
from hostler.testing.builds import write_build

pytestmark = pytest.mark.anyio

KEYED = {"LLAMA_API_KEY": "secret"}


async def _waiting(spares: Spares, program: Program = EMBEDDED) -> int:
    with anyio.fail_after(60):
        while program not in spares.pids:
            await anyio.sleep(0.01)
    return spares.pids[program]


async def test_the_second_load_takes_the_launcher_that_waits(runner, spec, run, smollm2: Path) -> None:
    driver = runner()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(driver.spares.run)
        async with run(driver, spec(smollm2, context=256)) as first:
            assert first.failure is None
            waiting = await _waiting(driver.spares)
        async with run(driver, spec(smollm2, context=256)) as second:
            assert second.failure is None
            assert second.started.pid == waiting
            assert second.ready.endpoint.api_key not in " ".join(psutil.Process(waiting).cmdline())
            following = await _waiting(driver.spares)
            assert following != waiting
        assert not psutil.pid_exists(waiting)
        tasks.cancel_scope.cancel()
    assert not psutil.pid_exists(following)


async def test_a_binary_is_become_by_the_shim_that_waits(runner, spec, run, tmp_path: Path) -> None:
    driver, build = runner(), str(write_build(tmp_path))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(driver.spares.run)
        async with run(driver, spec(None, build=build)) as first:
            assert first.failure is None
            waiting = await _waiting(driver.spares, GUARD)
        async with run(driver, spec(None, build=build)) as second:
            assert second.failure is None
            assert second.started.pid == waiting
            assert await driver.slots_busy(second.ready.endpoint) == 0
            assert (
                await ask(Endpoint("127.0.0.1", second.ready.endpoint.port, "guessed"), "GET", "/slots")
            ).status == 401
        tasks.cancel_scope.cancel()
    assert not driver.spares.pids


async def test_it_says_why_it_cannot_load_like_any_other(runner, spec, run, tmp_path: Path) -> None:
    driver = runner()
    driver.spares.want(EMBEDDED)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(driver.spares.run)
        waiting = await _waiting(driver.spares)
        async with run(driver, spec(None, context=256)) as engine:
            assert engine.failure is not None
            assert engine.started.pid == waiting
        tasks.cancel_scope.cancel()


async def test_one_that_died_meanwhile_is_passed_over() -> None:
    spares = Spares(LimitSettings)
    spares.want(EMBEDDED)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(spares.run)
        waiting = await _waiting(spares)
        psutil.Process(waiting).kill()
        with anyio.fail_after(10):
            while await _alive(spares, waiting):
                await anyio.sleep(0.01)
        assert await spares.take((*EMBEDDED, "--port", "0"), KEYED) is None
        tasks.cancel_scope.cancel()


async def _alive(spares: Spares, pid: int) -> bool:
    return pid in spares.pids.values() and psutil.pid_exists(pid)


async def test_other_programs_and_environments_get_none() -> None:
    spares = Spares(LimitSettings)
    spares.want(EMBEDDED)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(spares.run)
        await _waiting(spares)
        assert await spares.take(("/bin/true",), KEYED) is None
        assert await spares.take((*EMBEDDED, "--port", "0"), {**KEYED, "OMP_NUM_THREADS": "1"}) is None
        tasks.cancel_scope.cancel()
    assert not spares.pids


async def test_a_file_whose_name_is_no_text_is_told_to_it_as_it_is() -> None:
    """It could not be told, and the launcher was forgotten: such a model could be loaded once, and never again."""
    spares = Spares(LimitSettings)
    spares.want(GUARD)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(spares.run)
        await _waiting(spares, GUARD)
        says = "import sys; print(ascii(sys.argv[1]))"
        taken = await spares.take((*GUARD, sys.executable, "-c", says, "caf\udce9.gguf"), KEYED)
        assert taken is not None
        with taken, anyio.fail_after(60):
            assert await taken.child.wait() == 0
            assert os.read(taken.output, 100) == b"'caf\\udce9.gguf'\n"
        tasks.cancel_scope.cancel()
