"""The engines under contract: the fake and the embedded build, started once each with the same flags."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from hostler.testing.launch import Running, running_program

PROGRAMS = {"fake": "hostler.testing.fake_engine", "real": "hostler.engines.processes.embedded"}
COMMON = ("--host", "127.0.0.1", "--port", "0", "--alias", "tiny", "-c", "2048", "-np", "2", "--kv-unified")


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """One loop for the whole folder, so that an engine can serve many tests."""
    return "asyncio"


@pytest.fixture(scope="session", params=sorted(PROGRAMS))
def program(request: pytest.FixtureRequest) -> Sequence[str]:
    """The command of one of the two programs."""
    return (sys.executable, "-m", PROGRAMS[str(request.param)])


async def _run(program: Sequence[str], model: Path, *flags: str) -> AsyncIterator[Running]:
    argv = (*program, *COMMON, "-m", str(model), *flags)
    async with running_program(argv, within_s=120) as running:
        yield running


@pytest.fixture(scope="session")
async def engine(
    program: Sequence[str], smollm2: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Running]:
    """A chat engine with two slots and everything that watches it switched on."""
    folder = tmp_path_factory.mktemp("slots")
    async for running in _run(program, smollm2, "--metrics", "--props", "--slots", "--slot-save-path", f"{folder}/"):
        yield running


@pytest.fixture(scope="session")
async def embedder(program: Sequence[str], smollm2: Path) -> AsyncIterator[Running]:
    """An engine that makes vectors."""
    async for running in _run(program, smollm2, "--embeddings", "--pooling", "mean"):
        yield running


@pytest.fixture(scope="session")
async def ranker(program: Sequence[str], smollm2: Path) -> AsyncIterator[Running]:
    """An engine that ranks."""
    async for running in _run(program, smollm2, "--embeddings", "--pooling", "rank"):
        yield running
