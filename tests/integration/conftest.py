"""Engines and models for tests that use processes and sockets."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from hostler.models.starters import STARTERS, fetch
from hostler.testing.launch import Running, running_fake, running_program

FakeEngine = Callable[..., Awaitable[Running]]
RealEngine = Callable[..., Awaitable[Running]]


@pytest.fixture(scope="session")
def models_folder() -> Path:
    """Where real models are kept between runs: HOSTLER_TEST_MODELS, or .make/models in the repository."""
    default = Path(__file__).parents[2] / ".make" / "models"
    return Path(os.environ.get("HOSTLER_TEST_MODELS") or default)


@pytest.fixture(scope="session")
def smollm2(models_folder: Path) -> Path:
    """A small chat model, fetched when it is not there yet."""
    return fetch(STARTERS["smollm2"], models_folder, lambda _: None)


@pytest.fixture(scope="session")
def gemma(models_folder: Path) -> Path:
    """A small base model without a chat template, fetched when it is not there yet."""
    return fetch(STARTERS["gemma3-270m"], models_folder, lambda _: None)


@pytest.fixture
async def fake_engine() -> AsyncIterator[FakeEngine]:
    """Start fake engines: ``await fake_engine("-np", "2", rate=50)``; all are ended after the test."""
    async with AsyncExitStack() as stack:

        async def start(*flags: str, **switches: bool | int | float | str) -> Running:
            return await stack.enter_async_context(running_fake(*flags, **switches))

        yield start


@pytest.fixture
async def real_engine() -> AsyncIterator[RealEngine]:
    """Start the embedded build: ``await real_engine("-m", str(smollm2), ...)``; ended after the test."""
    async with AsyncExitStack() as stack:

        async def start(*flags: str) -> Running:
            argv = [sys.executable, "-m", "hostler.engines.embedded", "--host", "127.0.0.1", "--port", "0", *flags]
            return await stack.enter_async_context(running_program(argv, within_s=120))

        yield start
