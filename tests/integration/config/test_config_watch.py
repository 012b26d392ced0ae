from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostler.config.watch import ABSENT, Stamp, Watching, look, stamp, watch

pytestmark = pytest.mark.anyio
BOUND_S = 10


class Heard:
    """Counts calls; the test waits for the next one."""

    def __init__(self) -> None:
        self._send, self._receive = anyio.create_memory_object_stream[str](100)

    async def __call__(self) -> None:
        await self._send.send("changed")

    async def once(self) -> None:
        with anyio.fail_after(BOUND_S):
            await self._receive.receive()

    def quiet(self) -> bool:
        return self._receive.statistics().current_buffer_used == 0

    def close(self) -> None:
        self._send.close()
        self._receive.close()


def replace(file: Path, text: str) -> None:
    """As editors do it: a new file takes the old one's place."""
    other = file.with_suffix(".new")
    other.write_text(text, encoding="utf-8")
    os.replace(other, file)


async def watching(file: Path, steps: Callable[[Heard], Awaitable[None]], since: Stamp | None = None) -> None:
    heard = Heard()
    try:
        async with anyio.create_task_group() as group:
            group.start_soon(watch, file, heard, 0.005, stamp(file) if since is None else since)
            await steps(heard)
            group.cancel_scope.cancel()
    finally:
        heard.close()


async def test_every_way_of_changing_a_file_is_noticed(tmp_path: Path) -> None:
    file = tmp_path / "hostler.toml"
    file.write_text("a", encoding="utf-8")

    async def steps(heard: Heard) -> None:
        file.write_text("ab", encoding="utf-8")
        await heard.once()
        replace(file, "xy")
        await heard.once()
        file.unlink()
        await anyio.lowlevel.checkpoint()
        file.write_text("back again", encoding="utf-8")
        await heard.once()
        assert heard.quiet()

    await watching(file, steps)


async def test_a_file_that_appears_later_is_noticed(tmp_path: Path) -> None:
    file = tmp_path / "hostler.toml"

    async def steps(heard: Heard) -> None:
        file.write_text("new", encoding="utf-8")
        await heard.once()

    await watching(file, steps)


async def test_a_change_between_reading_and_watching_is_noticed(tmp_path: Path) -> None:
    file = tmp_path / "hostler.toml"
    file.write_text("old", encoding="utf-8")
    before = stamp(file)
    replace(file, "new text")

    async def steps(heard: Heard) -> None:
        await heard.once()

    await watching(file, steps, before)


async def test_an_error_of_the_listener_ends_the_watch(tmp_path: Path) -> None:
    async def fail() -> None:
        raise ValueError("from the listener")

    file = tmp_path / "hostler.toml"
    file.write_text("old", encoding="utf-8")
    with anyio.fail_after(BOUND_S), pytest.raises(ValueError, match="from the listener"):
        await watch(file, fail, 0.005, (1, 1, 1))


stamps = st.just(ABSENT) | st.tuples(st.integers(1, 3), st.just(1), st.just(1))


@given(st.lists(stamps, max_size=12))
def test_a_report_needs_the_same_stamp_twice_and_comes_once(seen: list[Stamp]) -> None:
    known = Watching(ABSENT)
    reports: list[Stamp] = []
    for index, one in enumerate(seen):
        known, changed = look(known, one)
        if changed:
            assert one != ABSENT
            assert index > 0
            assert seen[index - 1] == one
            assert not reports or reports[-1] != one
            reports.append(one)
    if len(seen) >= 2 and seen[-1] == seen[-2] != ABSENT:
        assert known.reported == seen[-1]
