"""Looks at an instance: shared when they must be far apart, own when a slot is free within milliseconds."""

from __future__ import annotations

import anyio
import pytest

from hostler.clock import ManualClock
from hostler.fleet.slots import LOOKS_S, SHARED_S, SlotWatch

pytestmark = pytest.mark.anyio


async def test_silent_waiters_share_their_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several hung up at once used to ask in turns, less than a second apart: the engine never noticed any."""
    monkeypatch.setitem(LOOKS_S, "silent", (0.0, SHARED_S + 0.01))
    asked = 0

    async def ask() -> int:
        nonlocal asked
        asked += 1
        return 5 if asked <= 3 else 0

    clock = ManualClock()
    watch = SlotWatch(clock)
    freed: list[bool] = []

    async def wait() -> None:
        freed.append(await watch.freed("silent", lambda: 0, ask))

    async with anyio.create_task_group() as group:
        for _ in range(3):
            group.start_soon(wait)
        await anyio.wait_all_tasks_blocked()
        assert asked == 3
        clock.advance(2)
    assert freed == [True] * 3
    assert asked == 4


async def test_what_is_still_busy_after_all_looks_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(LOOKS_S, "streaming", (0.0, 0.0))

    async def busy() -> int:
        return 2

    assert not await SlotWatch(ManualClock()).freed("streaming", lambda: 1, busy)
    assert await SlotWatch(ManualClock()).freed("streaming", lambda: 2, busy)


async def test_no_look_comes_later_than_it_may(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(LOOKS_S, "streaming", (0.0, 0.01, 600.0))
    asked = 0

    async def busy() -> int:
        nonlocal asked
        asked += 1
        return 1

    assert not await SlotWatch(ManualClock()).freed("streaming", lambda: 0, busy, 0.01)
    assert asked == 2


async def test_an_engine_that_does_not_tell_is_free() -> None:
    async def silent() -> None:
        return None

    assert await SlotWatch(ManualClock()).freed("streaming", lambda: 0, silent)
