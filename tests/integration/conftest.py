"""Engines for tests that use processes and sockets."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack

import pytest

from hostler.testing.launch import Running, running_fake, running_program

FakeEngine = Callable[..., Awaitable[Running]]
RealEngine = Callable[..., Awaitable[Running]]


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
            argv = [
                sys.executable,
                "-m",
                "hostler.engines.processes.embedded",
                "--host",
                "127.0.0.1",
                "--port",
                "0",
                *flags,
            ]
            return await stack.enter_async_context(running_program(argv, within_s=120))

        yield start
