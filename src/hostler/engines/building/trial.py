"""Tries a build: a real model is loaded, and text is generated. What fails here is never used."""

from __future__ import annotations

import os
from pathlib import Path

import anyio
import msgspec

from hostler.config.settings import EngineSettings, LimitSettings
from hostler.engines.building.installed import Trial
from hostler.engines.builds import Build, Builds
from hostler.engines.commands.devicenames import engine_names
from hostler.engines.llamacpp import LlamaCpp
from hostler.engines.protocol import Endpoint, LoadSpec, Ready, Report, RunnerSettings
from hostler.engines.talking.exchange import Broken, ask
from hostler.errors import EngineLost, HostlerError, LoadFailed
from hostler.hardware.inspection import inspect
from hostler.models.facts import Model
from hostler.models.gguf import read_model
from hostler.placement.planner import plan
from hostler.placement.wish import Site, Wish, rooms_of

WITHIN_S = 300.0
CONTEXT = 1024
TOKENS = 64
ROUNDS = 3
_PROMPT = "The quick brown fox jumps over the lazy dog. " * 24


class _Timings(msgspec.Struct):
    predicted_n: int = 0
    predicted_per_second: float | None = None
    prompt_n: int = 0
    prompt_per_second: float | None = None


class _Completion(msgspec.Struct):
    timings: _Timings = msgspec.field(default_factory=_Timings)


class Ground(msgspec.Struct, frozen=True, kw_only=True):
    """Where a trial runs: a model, and folders for logs, state and probes."""

    model: Model
    logs: Path
    state: Path
    cache: Path


async def attempt(build: str, builds: Builds, ground: Ground) -> Trial:
    """Load, generate, measure, stop; within five minutes. ``build`` is as in a profile.

    Raises what a load raises (BuildUnusable, LoadFailed, KilledBySignal, ...), EngineLost when it loads but does
    not generate. When this is over, nothing of the engine is left, cancelled or not.
    """
    settings = RunnerSettings(
        limits=LimitSettings(), logs=ground.logs, state=ground.state / "trial", cache=ground.cache
    )
    try:
        with anyio.fail_after(WITHIN_S):
            found = await builds.get(build)
            spec = await anyio.to_thread.run_sync(_spec, build, found, ground)
            return await _Trying(LlamaCpp(settings, builds), spec).run()
    except TimeoutError:
        raise LoadFailed(f"The build {build} did not generate within {WITHIN_S:.0f} s.") from None


class _Trying:
    """One engine on trial."""

    def __init__(self, runner: LlamaCpp, spec: LoadSpec) -> None:
        self._runner = runner
        self._spec = spec
        self._turned = anyio.Event()
        self._ready: Ready | None = None
        self._failure: HostlerError | None = None

    async def run(self) -> Trial:
        await self._runner.preflight(self._spec)
        done: Trial | None = None
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._supervise)
            await self._turned.wait()
            if self._ready is not None and self._failure is None:
                try:
                    done = await self._measured(self._ready.endpoint)
                except EngineLost as error:
                    self._failure = error
            tasks.cancel_scope.cancel()
        if done is None:
            raise self._failure or LoadFailed("The engine ended before it was ready.")
        return done

    async def _supervise(self) -> None:
        try:
            await self._runner.run(self._spec, self._heard)
        except HostlerError as error:
            self._failure = error
        finally:
            self._turned.set()

    def _heard(self, report: Report) -> None:
        if isinstance(report, Ready):
            self._ready = report
            self._turned.set()

    async def _measured(self, endpoint: Endpoint) -> Trial:
        """Medians of three rounds."""
        rounds = [await _generated(endpoint) for _ in range(ROUNDS)]
        return Trial(
            model=self._spec.model.name,
            decode=_median([each.predicted_per_second for each in rounds]),
            prefill=_median([each.prompt_per_second for each in rounds]),
        )


async def _generated(endpoint: Endpoint) -> _Timings:
    body = {
        "prompt": _PROMPT, "max_tokens": TOKENS, "temperature": 0, "ignore_eos": True, "cache_prompt": False,
        "model": "trial",
    }  # fmt: skip
    try:
        answer = await ask(endpoint, "POST", "/v1/completions", body)
        timings = msgspec.json.decode(answer.body, type=_Completion).timings
    except (Broken, msgspec.MsgspecError) as error:
        raise EngineLost(f"The build loaded a model but did not generate: {error}.") from error
    if answer.status != 200 or not timings.predicted_n:
        raise EngineLost(f"The build loaded a model but did not generate (it answered {answer.status}).")
    return timings


def _median(found: list[float | None]) -> float | None:
    known = sorted(value for value in found if value is not None)
    return known[len(known) // 2] if known else None


def _spec(name: str, build: Build, ground: Ground) -> LoadSpec:
    """How the build is run: on the GPUs that it can use, placed by itself. Blocking."""
    facts, shape = read_model(ground.model.files)
    machine = inspect(ground.cache)
    names = engine_names(machine, build.devices, os.environ)
    site = Site(machine=machine, rooms=rooms_of(machine), usable=tuple(names), names=names)
    placed = plan(shape, Wish(context=CONTEXT, placement="engine" if build.devices else "auto"), site)
    return LoadSpec(
        instance=f"trial-{os.getpid()}",
        profile="trial",
        model=ground.model,
        facts=facts,
        task="completion",
        embeddings=False,
        context=CONTEXT,
        slots=1,
        engine=EngineSettings(build=name),
        bytes=placed.need,
        plan=placed,
    )
