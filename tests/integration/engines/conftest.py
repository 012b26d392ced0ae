"""A runner of one's own, and engines that run in the background of a test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import anyio
import msgspec
import pytest

from hostler.config.settings import EngineSettings, LimitSettings, Profile
from hostler.engines.builds import Builds
from hostler.engines.llamacpp import LlamaCpp
from hostler.engines.protocol import LoadSpec, Ready, Report, RunnerSettings, Started
from hostler.errors import HostlerError
from hostler.models.facts import Model
from hostler.placement.wish import wish_of
from hostler.testing.specs import FACTS, SHAPE, on_host

WITHIN_S = 60

MakeSpec = Callable[..., LoadSpec]
MakeRunner = Callable[..., LlamaCpp]


class Running:
    """An engine that a runner runs: what it reported, and how it ended."""

    def __init__(self) -> None:
        self.reports: list[Report] = []
        self.failure: HostlerError | None = None
        self.turned = anyio.Event()
        self.ended = anyio.Event()

    def report(self, report: Report) -> None:
        self.reports.append(report)
        if isinstance(report, Ready):
            self.turned.set()

    @property
    def ready(self) -> Ready:
        return next(report for report in self.reports if isinstance(report, Ready))

    @property
    def started(self) -> Started:
        return next(report for report in self.reports if isinstance(report, Started))

    async def heard(self, kind: type) -> None:
        """Until a report of that kind has come."""
        with anyio.fail_after(WITHIN_S):
            while not any(isinstance(report, kind) for report in self.reports):
                await anyio.sleep(0.01)


Run = Callable[[LlamaCpp, LoadSpec], AbstractAsyncContextManager[Running]]


@pytest.fixture
def runner(tmp_path: Path) -> MakeRunner:
    """``runner(grace_s=...)``: a LlamaCpp with those limits, in a folder of its own."""

    def make(**limits: float) -> LlamaCpp:
        settings = RunnerSettings(
            limits=LimitSettings(**limits),
            logs=tmp_path / "logs",
            state=tmp_path / "state",
            cache=tmp_path / "cache",
        )
        return LlamaCpp(settings, Builds(settings.cache))

    return make


@pytest.fixture
def spec(tmp_path: Path) -> MakeSpec:
    """``spec(path, context=..., build=..., ...)``: a spec for that model file; None writes a stand-in."""

    def make(path: Path | None = None, **changes: object) -> LoadSpec:
        if path is None:
            path = tmp_path / "stand-in.gguf"
            path.write_bytes(b"GGUF")
        engine = {key: changes.pop(key) for key in tuple(changes) if key in EngineSettings.__struct_fields__}
        settings = msgspec.convert(engine, EngineSettings)
        sizes = {key: changes[key] for key in ("context", "slots") if key in changes}
        profile = Profile(model=str(path), engine=settings, **{"context": 1024, **sizes})
        plan = on_host(wish_of(profile, SHAPE, task=changes.get("task", "chat")))
        made = LoadSpec(
            instance="coder-1",
            profile="coder",
            model=Model(name="small", files=(path,), size=path.stat().st_size, origin="path"),
            facts=FACTS,
            task="chat",
            embeddings=False,
            context=1024,
            slots=1,
            engine=settings,
            bytes={},
            plan=plan,
        )
        return msgspec.structs.replace(made, **changes)

    return make


@pytest.fixture
def run() -> Run:
    """``async with run(runner, spec) as engine``: runs until ready or ended; stopped at the end of the block."""

    @asynccontextmanager
    async def running(runner: LlamaCpp, spec: LoadSpec) -> AsyncIterator[Running]:
        engine = Running()

        async def supervise() -> None:
            try:
                await runner.run(spec, engine.report)
            except HostlerError as error:
                engine.failure = error
            finally:
                engine.turned.set()
                engine.ended.set()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(supervise)
            try:
                with anyio.fail_after(WITHIN_S):
                    await engine.turned.wait()
                yield engine
            finally:
                tasks.cancel_scope.cancel()

    return running
