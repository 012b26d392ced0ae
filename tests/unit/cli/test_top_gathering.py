"""Streams in batches: nothing is lost, and what ends a stream is told."""

from __future__ import annotations

from collections.abc import AsyncIterator

import anyio
import pytest

from hostler.cli.top.gathering import gather
from hostler.errors import HostlerError, NoGateway

pytestmark = pytest.mark.anyio


async def test_what_comes_together_is_handed_on_together_and_in_order() -> None:
    async def stream() -> AsyncIterator[int]:
        for number in range(1000):
            yield number

    batches: list[list[int]] = []
    await gather(stream(), batches.append)
    assert [number for batch in batches for number in batch] == list(range(1000))
    assert len(batches) < 10


async def test_a_quiet_stream_hands_on_what_came() -> None:
    came = anyio.Event()
    batches: list[list[int]] = []

    async def stream() -> AsyncIterator[int]:
        yield 1
        await came.wait()
        yield 2

    def take(batch: list[int]) -> None:
        batches.append(batch)
        came.set()

    with anyio.fail_after(10):
        await gather(stream(), take)
    assert batches == [[1], [2]]


async def test_an_error_comes_after_what_came_before_it() -> None:
    async def stream() -> AsyncIterator[int]:
        yield 1
        raise NoGateway("No gateway runs.")

    batches: list[list[int]] = []
    with pytest.raises(NoGateway):
        await gather(stream(), batches.append)
    assert batches == [[1]]


async def test_a_bug_stays_a_bug() -> None:
    async def stream() -> AsyncIterator[int]:
        yield 1
        raise ZeroDivisionError

    with pytest.raises(ExceptionGroup) as caught:
        await gather(stream(), lambda _: None)
    assert caught.group_contains(ZeroDivisionError)
    assert not caught.group_contains(HostlerError)
