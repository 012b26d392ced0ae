"""Which way to load files is chosen, and for what it holds."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Literal

import anyio
import pytest
from fleet_world import GIB, World, world

from hostler.clock import SystemClock
from hostler.config.settings import EngineSettings, LoadMode, Profile
from hostler.errors import Conflict, LoadFailed
from hostler.fleet.learning.loadmodes import LoadModes, quickest, size_class
from hostler.fleet.learning.loadtrials import LoadTrials, Measuring, Subject, better, not_loaded_by_us
from hostler.models.facts import Model
from hostler.wire.loading import ChosenMode, ModeFigures, ModeLoad

pytestmark = pytest.mark.anyio


def _figures(mode: LoadMode, cold: float, warm: float, held: int = GIB) -> ModeFigures:
    load = {"gb_per_s": 1.0, "held": {"host": held}}
    return ModeFigures(mode=mode, cold=ModeLoad(load_s=cold, **load), warm=ModeLoad(load_s=warm, **load))


def _model(folder: Path, size: int = GIB) -> Model:
    file = folder / "model.gguf"
    file.write_bytes(b"GGUF")
    return Model(name="model", files=(file,), size=size, origin="path")


def _chosen(mode: LoadMode, build: str = "b1") -> ChosenMode:
    return ChosenMode(disk="d", build=build, size_class="under 4 GiB", mode=mode, why="quick", at=1.0)


@pytest.mark.parametrize(
    ("other", "chosen"),
    [
        (_figures("read", 4.0, 1.0), "read"),
        (_figures("read", 9.0, 1.0), "mmap"),  # a little quicker is not worth it
        (_figures("direct", 1.0, 1.5), "mmap"),  # a switch back would be slower
        (_figures("read", 4.0, 1.0, 2 * GIB), "mmap"),  # it would hold more than was planned
    ],
)
def test_a_mapped_file_is_left_only_for_what_is_worth_it(other: ModeFigures, chosen: str) -> None:
    assert quickest([_figures("mmap", 10.0, 1.0), other])[0] == chosen


def test_of_two_loads_the_quicker_one_counts() -> None:
    both = better(_figures("read", 4.0, 3.0), _figures("read", 5.0, 1.0))
    assert (both.cold.load_s, both.warm.load_s) == (4.0, 1.0)


@pytest.mark.parametrize(("kind", "why"), [("remote", "runs elsewhere"), ("command", "a program of its own")])
def test_what_is_not_loaded_by_us_is_refused_with_its_own_reason(kind: Literal["remote", "command"], why: str) -> None:
    assert why in not_loaded_by_us("a", Profile(model="m", engine=EngineSettings(kind=kind))).message


def test_size_classes() -> None:
    sizes = [GIB // 2, GIB, 63 * GIB, 64 * GIB]
    assert [size_class(size) for size in sizes] == ["under 1 GiB", "under 4 GiB", "under 64 GiB", "64 GiB and more"]


def test_a_choice_holds_for_its_disk_build_and_size_and_survives(tmp_path: Path) -> None:
    model, modes = _model(tmp_path), LoadModes(tmp_path / "modes.json")
    modes.choose(model, _chosen("read"))
    modes.save()
    again = LoadModes(tmp_path / "modes.json")

    assert again.of("a", model, "b1", 8 * GIB) == ("read", "measured: quick")
    assert again.of("a", model, "b2", 8 * GIB) is None
    assert again.of("a", _model(tmp_path, 5 * GIB), "b1", 80 * GIB) is None
    assert again.chosen() == modes.chosen()


def test_memory_that_nobody_can_take_back_is_not_taken_where_there_is_little(tmp_path: Path) -> None:
    model, modes = _model(tmp_path), LoadModes(tmp_path / "modes.json")
    modes.choose(model, _chosen("read"))
    assert modes.of("a", model, "b1", GIB + GIB // 2) is None


def _trials(w: World, tmp_path: Path, measuring: Measuring = nullcontext) -> tuple[LoadTrials, LoadModes]:
    model, modes = _model(tmp_path), LoadModes(tmp_path / "modes.json")
    return LoadTrials(w.fleet, modes, SystemClock(), lambda _: Subject(model, "b1"), measuring), modes


async def test_a_comparison_loads_in_each_mode_and_leaves_it_loaded(tmp_path: Path) -> None:
    async with world(tmp_path, {"a": GIB}) as w:
        measured: list[int] = []

        @contextmanager
        def measuring(profile: str) -> Iterator[None]:
            measured.append(len(w.runner.loads))
            yield
            measured.append(len(w.runner.loads))

        trials, modes = _trials(w, tmp_path, measuring)
        done = await trials.compare("a")
        assert (done.state, [each.mode for each in done.modes]) == ("done", ["mmap", "read", "direct"])
        assert done.chosen == modes.chosen()[0].mode
        assert len(w.runner.loads) == 13
        assert measured == [0, 12]  # the last load is for those who come next
        assert w.states() == {"a": "ready"}
        assert trials.status().comparisons == (done,)


async def test_one_that_fails_says_why_and_leaves_nothing_forced(tmp_path: Path) -> None:
    async with world(tmp_path, {"a": GIB}) as w:
        w.runner.fail["a"] = LoadFailed("It did not load.")
        trials, modes = _trials(w, tmp_path)
        with pytest.raises(LoadFailed):
            await trials.compare("a")
        [told] = trials.status().comparisons
        assert (told.state, told.reason) == ("failed", "It did not load.")
        assert modes.of("a", _model(tmp_path), "b1", 8 * GIB) is None


async def test_one_comparison_at_a_time(tmp_path: Path) -> None:
    async with world(tmp_path, {"a": GIB, "b": GIB}) as w, anyio.create_task_group() as tasks:
        w.runner.hold.add("a")
        trials, _ = _trials(w, tmp_path)
        tasks.start_soon(trials.run)
        await anyio.wait_all_tasks_blocked()
        begun = trials.begin("a")
        await w.until(lambda: "a" in w.runner.release)
        assert trials.begin("a") is begun
        with pytest.raises(Conflict):
            await trials.compare("b")
        tasks.cancel_scope.cancel()
