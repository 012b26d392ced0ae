"""Walking through depths with an engine, and what is made of it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import anyio
import msgspec
import psutil
import pytest

from hostler.config.settings import LimitSettings, Profile
from hostler.engines.builds import Builds
from hostler.engines.llamacpp import LlamaCpp
from hostler.engines.protocol import Endpoint, LoadSpec, RunnerSettings
from hostler.engines.speed.alone import Alone, running
from hostler.engines.speed.calibration import Subject, chosen, depths_of, sample_of
from hostler.engines.speed.efficiencies import keep, learnt
from hostler.engines.speed.measuring import AGREE, ANSWER, BEYOND, MOST_ROUNDS, WALKS, Round, walk
from hostler.engines.speed.quiet import Others
from hostler.errors import EngineLost, LoadFailed
from hostler.hardware.inspection import inspect
from hostler.models.facts import Model
from hostler.models.gguf import read_model
from hostler.placement.efficiency import PRIORS, key_of
from hostler.placement.fitting import Request, fit
from hostler.placement.planner import plan
from hostler.placement.wish import Site, rooms_of, wish_of
from hostler.testing.builds import write_build
from hostler.testing.gguf_files import write_tiny_gguf

pytestmark = pytest.mark.anyio


def subject(folder: Path, **switches: bool | float) -> Subject:
    """A tiny model on a fake engine of 4096 tokens."""
    build = write_build(folder, **switches)
    path = write_tiny_gguf(folder / "tiny.gguf")
    facts, shape = read_model((path,))
    machine = inspect()
    profile = Profile(model=str(path), context=4096)
    placed = plan(shape, wish_of(profile, shape, task="completion"), Site(machine=machine, rooms=rooms_of(machine)))
    engine = msgspec.structs.replace(profile.engine, build=str(build))
    spec = LoadSpec(
        instance=f"measured-{os.getpid()}", profile="tiny",
        model=Model(name="tiny", files=(path,), size=path.stat().st_size, origin="path"), facts=facts,
        task="completion", embeddings=False, context=4096, slots=1, engine=engine, bytes=placed.need, plan=placed,
    )  # fmt: skip
    settings = RunnerSettings(
        limits=LimitSettings(), logs=folder / "logs", state=folder / "state", cache=folder / "cache"
    )
    return Subject(
        spec=spec, shape=shape, machine=machine, runner=LlamaCpp(settings, Builds(folder / "cache")), build="fake",
        cache=folder / "cache", depths=depths_of(spec.context),
    )  # fmt: skip


async def walked(measured: Subject) -> list[Round]:
    async with running(measured.runner, measured.spec) as engine:
        return [each async for each in walk(engine, 1000, measured.depths, patience_s=None)]


async def test_a_walk_measures_each_depth_and_the_way_to_it(tmp_path: Path) -> None:
    measured = subject(tmp_path)
    rounds = await walked(measured)
    assert measured.depths == (0, 2048)
    at_start, deep = ([each for each in rounds if each.depth == depth] for depth in (0, 2048))
    for each in (at_start, deep):
        assert WALKS * AGREE <= len(each) <= WALKS * MOST_ROUNDS
    assert [each.request.cache_n for each in at_start] == [0] * len(at_start)
    assert all(each.request.predicted_n == ANSWER for each in (*at_start, *deep))
    assert all(2000 < each.request.cache_n < 2048 + BEYOND for each in deep)
    assert len([each for each in rounds if each.depth is None]) == WALKS
    sample = sample_of(measured, rounds)
    assert len(sample.decode) >= 2 * AGREE
    assert len(sample.prefill) >= 2 * AGREE + 1


async def test_what_was_measured_is_learnt_and_kept_by_machine_and_build(tmp_path: Path) -> None:
    measured = subject(tmp_path)
    fitted = fit([sample_of(measured, await walked(measured))], measured.machine)
    assert set(fitted.fitted["host"].of) == {key_of(measured.shape)}
    keep(tmp_path, "machine", "one", fitted)
    assert learnt(tmp_path, "machine", "one") == fitted
    assert learnt(tmp_path, "machine", "another") == PRIORS
    assert learnt(tmp_path, "another", "one") == PRIORS
    keep(tmp_path, "machine", "another", PRIORS)
    assert learnt(tmp_path, "machine", "one") == fitted


async def test_a_broken_file_is_none(tmp_path: Path) -> None:
    (tmp_path / "hardware").mkdir()
    (tmp_path / "hardware" / "machine.speed.json").write_text("{")
    assert learnt(tmp_path, "machine", "one") == PRIORS


async def test_an_engine_that_ends_while_it_is_measured_says_so(tmp_path: Path) -> None:
    with pytest.raises(EngineLost):
        await walked(subject(tmp_path, crash_after=20))


async def test_an_engine_that_does_not_load_says_why(tmp_path: Path) -> None:
    with pytest.raises(LoadFailed):
        await walked(subject(tmp_path, exit_at_load=3))


async def test_an_engine_that_answers_with_an_error_is_not_measured(tmp_path: Path) -> None:
    measured = subject(tmp_path)
    async with running(measured.runner, measured.spec) as engine:
        wrong = Endpoint(engine.endpoint.host, engine.endpoint.port, "not the key")
        with pytest.raises(EngineLost, match="did not measure"):
            _ = [each async for each in walk(Alone(wrong, engine.pid), 1000, (0,), patience_s=None)]


def test_the_fastest_undisturbed_rounds_count() -> None:
    def round_(depth: int | None, prompt_ms: float, others: float = 0.0) -> Round:
        return Round(depth, Request(0, 256, prompt_ms, 24, prompt_ms), others)

    rounds = [round_(0, 100), round_(0, 1, others=0.5), round_(0, 90), round_(0, 80), round_(0, 400), round_(2048, 7)]
    answers, prompts = chosen(rounds, 0)
    assert sorted(round(25.6e4 / 1e3 / point.rate * 1e3) for point in prompts) == [80, 90, 100]
    assert len(answers) == AGREE


def test_depths_fit_into_the_context() -> None:
    assert depths_of(8192) == (0, 2048, 6144)
    assert depths_of(4096) == (0, 2048)
    assert depths_of(1024) == (0,)


async def test_a_busy_process_is_seen_and_an_engine_is_not_its_own_disturbance() -> None:
    """Beside others it may get little: what counts is that its part, once it has one, is nobody else's."""
    busy = await anyio.open_process([sys.executable, "-c", "while True: pass"])
    try:
        unrelated, own = Others(os.getpid()), Others(busy.pid)
        first, second = unrelated.read(), own.read()
        with anyio.fail_after(30):
            while unrelated.share(first) * (psutil.cpu_count() or 1) < 0.3 or own.share(second) >= unrelated.share(
                first
            ):
                await anyio.sleep(0.05)
        assert not await unrelated.quiet(0.0)
    finally:
        busy.kill()
        await busy.aclose()
