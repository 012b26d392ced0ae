"""`hostler conformance` against servers that keep their promises, and one that does not."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import anyio
import msgspec
import psutil
import pytest
from cli_run import HOSTLER, Run

from hostler.conformance.verdict import Verdict
from hostler.testing.launch import Running

pytestmark = pytest.mark.anyio

Hostler = Callable[..., subprocess.CompletedProcess[str]]


async def _tried(hostler: Hostler, engine: Running, *options: str) -> subprocess.CompletedProcess[str]:
    url = f"http://{engine.host}:{engine.port}"
    return await asyncio.to_thread(hostler, "conformance", "--url", url, *options, HOSTLER_KEY=engine.key)


async def test_a_server_that_keeps_its_promises(hostler: Hostler, fake_engine, tmp_path: Path) -> None:
    engine = await fake_engine("-np", "4")
    log = tmp_path / "fates.jsonl"
    options = ("--only", "storm", "-n", "12", "-c", "4", "--seed", "9")
    done = await _tried(hostler, engine, *options, "--json", "--log", str(log))
    assert done.returncode == 0, done.stderr
    verdict = msgspec.json.decode(done.stdout, type=Verdict)
    assert verdict.ok
    assert verdict.storm is not None
    assert (verdict.storm.seed, verdict.storm.requests, sum(verdict.storm.fates.values())) == (9, 12, 12)
    entries = [json.loads(line) for line in log.read_text().splitlines()]
    assert [entry["ask"]["number"] for entry in entries] == list(range(12))
    assert {entry["fate"]["type"] for entry in entries} <= {"answered", "left"}

    told = await _tried(hostler, engine, *options)
    assert told.returncode == 0
    assert "Every promise was kept." in told.stdout
    assert "seed 9" in told.stderr
    assert "storm: 12 of 12 requests" in told.stderr


async def test_a_server_that_breaks_them(hostler: Hostler, fake_engine) -> None:
    engine = await fake_engine("-np", "8", garbage_head=True)
    done = await _tried(hostler, engine, "fake", "--only", "storm", "-n", "4", "--cancels", "0")
    assert done.returncode == 1
    assert "lost: 4" in done.stdout


async def test_checks_of_an_engine_alone(hostler: Hostler, fake_engine) -> None:
    done = await _tried(hostler, await fake_engine("-np", "4"), "--only", "checks")
    assert done.returncode == 1  # a bare engine answers to any name
    assert "unknown-model" in done.stdout
    assert "Failed: " in done.stdout


def test_its_own_gateway_has_its_own_profiles(run: Run) -> None:
    done = run("conformance", "--start", "coder")
    assert done.exit_code == 1
    assert "Leave out the profiles and --url." in done.output


async def test_its_own_gateway_ends_with_it_when_it_is_terminated() -> None:
    """It is in a session of its own: a job that was cancelled left it behind with its engines.

    Jobs of shells ignore Ctrl-C, so that is of no help.
    """
    words = ("conformance", "--start", "--only", "storm", "-n", "100000")
    job = ("sh", "-c", 'trap "" INT; exec "$@"', "sh", HOSTLER, *words)
    quiet = asyncio.subprocess.DEVNULL
    own = await asyncio.create_subprocess_exec(*job, stdout=quiet, stderr=quiet)
    with anyio.fail_after(60):
        while not (gateways := [p for p in psutil.Process(own.pid).children() if "up" in p.cmdline()]):
            await anyio.sleep(0.02)
        own.terminate()
        assert await own.wait() == 128 + signal.SIGTERM
    assert not any(gateway.is_running() for gateway in gateways)


async def test_disruption_needs_a_gateway_of_ours(hostler: Hostler, fake_engine) -> None:
    done = await _tried(hostler, await fake_engine(), "--only", "storm", "--disruptive")
    assert done.returncode == 1
    assert "needs a gateway of ours on this machine" in done.stderr
