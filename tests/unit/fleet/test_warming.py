"""Warm-ups of a fleet whose engines load at once."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import anyio
import pytest
from fleet_world import GIB, World, world

from hostler.clock import SystemClock
from hostler.config.settings import SamplingSettings, Task
from hostler.engines.protocol import Endpoint
from hostler.errors import Conflict, LoadFailed
from hostler.events import LeaseEnded
from hostler.fleet.protocol import Entry, Served
from hostler.warming import Warming

pytestmark = pytest.mark.anyio


class _Catalogue:
    def resolve(self, name: str | None) -> Served:
        return Served(
            name=name or "", task="completion", embeddings=False, sampling=SamplingSettings(), context=512, abilities=()
        )

    async def refresh(self) -> None:
        return None

    def entries(self) -> list[Entry]:
        return []

    def default(self) -> str | None:
        return None


class _Probe:
    """Works at once; remembers for which task."""

    def __init__(self) -> None:
        self.tasks: list[Task] = []

    async def __call__(self, endpoint: Endpoint, task: Task) -> float | None:
        self.tasks.append(task)
        return 50.0


def _warming(w: World, probe: _Probe, files: tuple[Path, ...] = ()) -> Warming:
    return Warming(w.fleet, _Catalogue(), SystemClock(), probe, lambda _: files, nullcontext)


async def test_it_loads_once_and_generates_each_time(tmp_path: Path) -> None:
    async with world(tmp_path, {"a": GIB}) as w:
        probe = _Probe()
        warming = _warming(w, probe)
        first, second = await warming.warm("a"), await warming.warm("a")
        assert (first.state, first.loaded, first.tokens_per_s) == ("done", True, 50.0)
        assert (second.state, second.loaded) == ("done", False)
        assert w.runner.loads == ["a"]
        assert probe.tasks == ["completion"] * 2
        assert warming.status() == (second,)
        assert [e.status for e in w.events(LeaseEnded) if isinstance(e, LeaseEnded)] == [200, 200]


async def test_a_failed_one_says_why(tmp_path: Path) -> None:
    async with world(tmp_path, {"a": GIB}) as w:
        w.runner.fail["a"] = LoadFailed("It did not load.")
        warming = _warming(w, _Probe())
        with pytest.raises(LoadFailed):
            await warming.warm("a")
        [told] = warming.status()
        assert (told.state, told.reason) == ("failed", "It did not load.")


async def test_one_in_the_background_is_joined(tmp_path: Path) -> None:
    async with world(tmp_path, {"a": GIB}) as w, anyio.create_task_group() as tasks:
        warming = _warming(w, _Probe())
        tasks.start_soon(warming.run)
        await anyio.wait_all_tasks_blocked()
        assert warming.begin("a") is warming.begin("a")
        await w.until(lambda: warming.status()[0].state == "done")
        tasks.cancel_scope.cancel()


async def test_a_comparison_loads_twice_and_leaves_it_loaded(tmp_path: Path) -> None:
    model = tmp_path / "model"
    model.write_bytes(b"x" * 1000)
    async with world(tmp_path, {"a": GIB}) as w:
        warming = _warming(w, _Probe(), (model,))
        compared = await warming.benchmark("a")
        assert compared.bytes == 1000
        assert w.runner.loads == ["a", "a"]
        assert w.states() == {"a": "ready"}


async def test_one_comparison_at_a_time(tmp_path: Path) -> None:
    async with world(tmp_path, {"a": GIB}) as w, anyio.create_task_group() as tasks:
        w.runner.hold.add("a")
        warming = _warming(w, _Probe())
        tasks.start_soon(warming.benchmark, "a")
        await w.until(lambda: "a" in w.runner.release)
        with pytest.raises(Conflict):
            await warming.benchmark("a")
        tasks.cancel_scope.cancel()
