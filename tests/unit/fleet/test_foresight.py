"""What likely follows, how quick loads are, and what is read ahead."""

from __future__ import annotations

import ctypes
import mmap
import os
from pathlib import Path

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostler.engines.prefetch import fill, forget, read_ahead
from hostler.events import Bus, Event, InstanceChanged, LoadForeseen, LoadMeasured, LoadProgress
from hostler.fleet.learning.foresight import Around, Course, Foresight
from hostler.fleet.learning.switches import FOLLOWERS, Switches, likely, noted


def test_what_always_followed_is_likely_unless_it_is_there() -> None:
    weights = noted(noted({}, "b"), "b")
    assert likely(weights, ()) == "b"
    assert likely(weights, {"b"}) is None


def test_one_of_many_is_a_guess() -> None:
    weights: dict[str, float] = {}
    for follower in "bcd" * 5:
        weights = noted(weights, follower)
    assert likely(weights, ()) is None


def test_habits_change() -> None:
    weights: dict[str, float] = {}
    for follower in "b" * 50 + "c" * 8:
        weights = noted(weights, follower)
    assert likely(weights, ()) == "c"


@given(st.lists(st.text(max_size=3), max_size=200))
def test_what_is_remembered_is_bounded(followers: list[str]) -> None:
    weights: dict[str, float] = {}
    for follower in followers:
        weights = noted(weights, follower)
        assert follower in weights
        assert len(weights) <= FOLLOWERS
        assert sum(weights.values()) <= 10.0


def test_history_outlives_the_process(tmp_path: Path) -> None:
    file = tmp_path / "switches.json"
    first = Switches(file)
    for profile in ("a", "b", "a", "a", "b"):
        first.loaded(profile)
    first.save()
    later = Switches(file)
    assert later.next(()) is None
    later.loaded("a")
    assert later.next({"a"}) == "b"


def test_a_course_adds_up() -> None:
    course = Course(10.0)
    for stage, at in (("loading tensors", 10.5), ("loading tensors", 11.0), ("warming up", 12.0)):
        course.reached(stage, at)
    assert course.ended(12.25) == (2.25, {"starting": 0.5, "loading tensors": 1.5, "warming up": 0.25})


def test_reading_ahead_is_bounded_and_forgives_files_that_are_gone(tmp_path: Path) -> None:
    files = [tmp_path / "a", tmp_path / "gone", tmp_path / "b"]
    files[0].write_bytes(b"x" * 3000)
    files[2].write_bytes(b"x" * 5000)
    fill(files)
    assert read_ahead(files, 10_000) == 8000
    assert read_ahead(files, 4000) == 4000
    assert read_ahead(files, -1) == 0
    forget(files)
    assert files[2].read_bytes() == b"x" * 5000


def _in_the_page_cache(file: Path) -> float:
    """The part of ``file`` that is there, from 0 to 1; looking does not read it."""
    with file.open("r+b") as source, mmap.mmap(source.fileno(), 0) as mapped:
        pages = ctypes.create_string_buffer(-(-len(mapped) // mmap.PAGESIZE))
        first = ctypes.c_char.from_buffer(mapped)
        failed = ctypes.CDLL(None).mincore(ctypes.byref(first), ctypes.c_size_t(len(mapped)), pages)
        del first
        assert not failed
        return sum(page & 1 for page in pages.raw) / len(pages)


@pytest.mark.anyio
async def test_files_are_read_ahead_to_their_end(tmp_path: Path) -> None:
    """Linux reads a window of each piece of advice and forgets the rest: of 64 MiB, 8 were read."""
    file, size = tmp_path / "model", 40 * 2**20
    with file.open("wb") as target:
        target.write(b"x" * size)
        os.fsync(target.fileno())
    forget([file])
    read_ahead([file], size)
    with anyio.fail_after(30):
        while _in_the_page_cache(file) < 0.9:
            await anyio.sleep(0.01)


@pytest.mark.anyio
async def test_loads_are_measured_and_the_next_model_is_read_ahead(tmp_path: Path) -> None:
    bus, model = Bus(), tmp_path / "model"
    model.write_bytes(b"x" * 4096)
    around = Around(files=lambda _: (model,), resident=lambda: {"a"}, free=lambda: 2**20)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(Foresight(bus, tmp_path / "switches.json", around).run)
        await anyio.wait_all_tasks_blocked()
        _load(bus, "elsewhere", process=False)
        for profile in ("a", "b", "a"):
            _load(bus, profile)
        measured = await _until(bus, LoadMeasured, 3)
        assert [(e.profile, e.bytes) for e in measured if isinstance(e, LoadMeasured)] == [(p, 4096) for p in "aba"]
        [foreseen] = await _until(bus, LoadForeseen, 1)
        assert isinstance(foreseen, LoadForeseen)
        assert (foreseen.profile, foreseen.after, foreseen.bytes) == ("b", "a", 4096)
        tasks.cancel_scope.cancel()


def _load(bus: Bus, profile: str, *, process: bool = True) -> None:
    bus.publish(InstanceChanged(instance=f"{profile}-1", profile=profile, state="starting"))
    if process:
        bus.publish(InstanceChanged(instance=f"{profile}-1", profile=profile, state="loading"))
    bus.publish(LoadProgress(instance=f"{profile}-1", profile=profile, stage="loading tensors", elapsed_s=0.0))
    bus.publish(InstanceChanged(instance=f"{profile}-1", profile=profile, state="ready"))


async def _until(bus: Bus, kind: type[Event], count: int) -> list[Event]:
    with anyio.fail_after(10):
        while len(found := [event for event in bus.since(0) if isinstance(event, kind)]) < count:
            await bus.changed(bus.last_id)
    return list(found)
