"""`hostler engine build`: a native build of llama.cpp for this machine."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
import typer

from hostler.cli.command import Session
from hostler.cli.noting import note
from hostler.cli.trying import home_of, make_default, say, speeds, starter_model, try_build
from hostler.errors import ModelError

if TYPE_CHECKING:
    from hostler.config.settings import Home
    from hostler.engines.building.installed import Trial
    from hostler.engines.building.recipe import Recipe
    from hostler.engines.building.steps import BuildProgress

LOG = "engine-build.log"
SAID = "engine-build.out"

SourceOption = Annotated[
    Path | None,
    typer.Option("--source", metavar="PATH", help="A checkout or an archive of llama.cpp.", show_default=False),
]
BackendOption = Annotated[
    Literal["auto", "cuda", "hip", "vulkan", "metal", "cpu"],
    typer.Option("--backend", help="What computes; by the hardware unless given."),
]
NameOption = Annotated[str | None, typer.Option("--name", metavar="NAME", help="What to call it.", show_default=False)]
JobsOption = Annotated[
    int | None, typer.Option("--jobs", "-j", min=1, help="Compilers at once; default: the cores.", show_default=False)
]
UseOption = Annotated[bool, typer.Option("--use", help="Use it by default from then on.")]
Background = Annotated[bool, typer.Option("--background", help="Build on after this command has ended.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would be built, and how.")]


class Built(msgspec.Struct, frozen=True, kw_only=True):
    """What was built; speeds are tokens per second of its trial."""

    name: str
    backend: str
    decode: float | None
    prefill: float | None


class Detached(msgspec.Struct, frozen=True, kw_only=True):
    """What `build --background` started, and the file that its words go to."""

    pid: int
    log: Path


class BuildPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What `build --dry-run` would do."""

    backend: str
    reason: str
    source: str
    options: tuple[str, ...]


async def build(
    session: Session,
    source: SourceOption = None,
    backend: BackendOption = "auto",
    name: NameOption = None,
    jobs: JobsOption = None,
    use_it: UseOption = False,
    background: Background = False,
    dry_run: DryRun = False,
) -> None:
    """Build llama.cpp for this machine, and try it.

    Without --source from the sources in the pinned source package llama-cpp-python. Low priority, minutes to an
    hour; Ctrl-C ends it and leaves nothing.
    """
    from hostler.cli import output
    from hostler.engines.building import native
    from hostler.engines.building.installed import FOLDER
    from hostler.engines.building.recipe import recipe
    from hostler.hardware.inspection import inspect

    if source is not None and not source.exists():
        raise ModelError(f"{source} does not exist.", hint="Name a checkout or an archive of llama.cpp.")
    machine, tools, home = inspect(), native.installed_tools(), home_of(session)
    made = recipe(machine.devices, tools, None if backend == "auto" else backend)
    if dry_run:
        _show_plan(session, made, source)
        return
    if background:
        _detach(session, home)
        return
    order = native.Order(
        recipe=made, tools=tools, folder=home.state / FOLDER, log=home.logs / LOG, name=name, source=source,
        jobs=jobs or max(machine.cpu.cores, 1),
    )  # fmt: skip
    say(session, f"Building for {made.backend} ({made.reason}); the log is {order.log}.")
    starter_model(session)  # what it is tried with must be there before an hour is spent
    found: list[Trial] = []
    async with _ended_by_signals():
        finished = await native.build(order, lambda path: _tried(session, path, found), _Told(session).show)
    note(session.config, "build engine", finished.name, finished.backend)
    if use_it:
        await make_default(session, finished.name)
    elif session.json:
        output.write_json(
            Built(name=finished.name, backend=finished.backend, decode=found[0].decode, prefill=found[0].prefill)
        )
    else:
        print(f"{finished.name} is built and tried ({speeds(found[0])}). `hostler engine use {finished.name}` uses it.")


@asynccontextmanager
async def _ended_by_signals() -> AsyncIterator[None]:
    """SIGTERM and a closed terminal end the build as Ctrl-C does: with its compilers, leaving nothing."""
    import signal

    import anyio

    stopped = False

    async def watch(scope: anyio.CancelScope) -> None:
        nonlocal stopped
        with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGHUP) as arriving:
            async for _ in arriving:
                stopped = True
                scope.cancel()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(watch, tasks.cancel_scope)
        yield
        tasks.cancel_scope.cancel()
    if stopped:
        raise KeyboardInterrupt


def _detach(session: Session, home: Home) -> None:
    """Start the same command again, in a session of its own, and leave it to itself."""
    import subprocess

    from hostler.cli.output import write_json

    home.logs.mkdir(parents=True, exist_ok=True)
    said = home.logs / SAID
    asked = [argument for argument in sys.argv[1:] if argument != "--background"]
    with said.open("wb") as out:
        child = subprocess.Popen(
            [sys.executable, "-c", "from hostler.cli import main; main()", *asked],
            stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True,
        )  # fmt: skip
    if session.json:
        write_json(Detached(pid=child.pid, log=said))
    else:
        print(f"Building in the background (pid {child.pid}): `hostler engine ls` shows how far it is,")
        print(f"`kill {child.pid}` ends it, and what it says is in {said}.")


async def _tried(session: Session, path: Path, found: list[Trial]) -> None:
    from hostler.cli.active_build import known_builds

    found.append(await try_build(session, str(path), known_builds(session.config)))


def _show_plan(session: Session, made: Recipe, source: Path | None) -> None:
    from hostler.cli.output import write_json
    from hostler.engines.building.native import PACKAGE, VERSION

    origin = str(source) if source else f"{PACKAGE} {VERSION} (source package)"
    if session.json:
        write_json(BuildPlan(backend=made.backend, reason=made.reason, source=origin, options=made.options))
        return
    print(f"Backend {made.backend}: {made.reason}.\nSource: {origin}.\nCMake options:")
    for option in made.options:
        print(f"  {option}")


class _Told:
    """Progress on standard error: one line that changes on a terminal, else one for every tenth."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._last = ("", -1)

    def show(self, at: BuildProgress) -> None:
        if self._session.json:
            return
        step = round((at.fraction or 0) * (100 if sys.stderr.isatty() else 10))
        if (at.stage, step) == self._last:
            return
        self._last = (at.stage, step)
        percent = f" {at.fraction:4.0%}" if at.fraction is not None and at.stage == "compile" else ""
        if sys.stderr.isatty():
            print(f"\r\x1b[K{at.stage}{percent}", end="\n" if at.stage == "done" else "", file=sys.stderr, flush=True)
        else:
            print(f"{at.stage}{percent}", file=sys.stderr, flush=True)
