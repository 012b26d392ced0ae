"""`hostler engine`: builds side by side, which one is used, and a native one for this machine."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
import typer

from hostler.cli.command import Session, command
from hostler.errors import HostlerError, ModelError

if TYPE_CHECKING:
    from hostler.config.settings import Home
    from hostler.engines.builds import Build, Builds
    from hostler.engines.installed import Installed, Trial
    from hostler.engines.recipe import Recipe
    from hostler.engines.steps import BuildProgress
    from hostler.engines.trial import Ground
    from hostler.models.facts import Model

LOG = "engine-build.log"
Kind = Literal["embedded", "made", "path"]

engine_app = typer.Typer(
    name="engine",
    help="The builds of engines on this machine.",
    no_args_is_help=True,
    rich_markup_mode=None,
    epilog="\b\nExamples:\n  hostler engine ls\n  hostler engine build\n  hostler engine use native-cuda",
)

BuildName = Annotated[str, typer.Argument(metavar="NAME", help="As `hostler engine ls` calls it, or a path.")]
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
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would be built, and how.")]


class BuildInfo(msgspec.Struct, frozen=True, kw_only=True):
    """One build. ``kind``: inside the wheel, made here, or found on PATH (used only when named).

    ``devices`` are the GPUs it can use; speeds are tokens per second of its last trial, None before one.
    ``active``: profiles that name no build use it. ``problem`` says why it cannot run, else empty.
    """

    name: str
    kind: Kind
    active: bool
    version: str = ""
    path: Path | None = None
    devices: tuple[str, ...] = ()
    capabilities: tuple[str, ...] = ()
    decode: float | None = None
    prefill: float | None = None
    trial_model: str | None = None
    source: str = ""
    options: tuple[str, ...] = ()
    problem: str = ""


class Used(msgspec.Struct, frozen=True, kw_only=True):
    """What `use` did: the default build now, the file that says so, and what its trial showed."""

    name: str
    written_to: Path
    decode: float | None
    prefill: float | None


class BuildPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What `build --dry-run` would do."""

    backend: str
    reason: str
    source: str
    options: tuple[str, ...]


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    command(engine_app, "ls", "hostler engine ls", "hostler engine ls --json", gateway=False)(ls)
    command(
        engine_app,
        "use",
        "hostler engine use native-cuda     tried first, then the default",
        "hostler engine use embedded",
        gateway=False,
    )(use)
    command(
        engine_app,
        "build",
        "hostler engine build               for the GPUs of this machine",
        "hostler engine build --source ~/llama.cpp --use",
        "hostler engine build --dry-run",
        gateway=False,
    )(build)
    app.add_typer(engine_app)


async def ls(session: Session) -> None:
    """List the builds, what each uses, and its speed when tried."""
    from hostler.cli import output

    known = await _listed(session)
    if session.json:
        output.write_json(known)
        return
    from rich.text import Text

    shown = output.table(
        "BUILD", "KIND", "USES", "DECODE", "PREFILL", "VERSION", right=("DECODE", "PREFILL"), fold="VERSION"
    )
    for info in known:
        shown.add_row(
            Text(info.name + ("*" if info.active else "")), Text(info.kind), Text(", ".join(info.devices) or "CPU"),
            output.rate(info.decode), output.rate(info.prefill), Text(info.problem or info.version),
        )  # fmt: skip
    shown.caption, shown.caption_justify = "* used by profiles that name no build; tokens/s of its trial", "left"
    output.console(session).print(shown)


async def use(session: Session, name: BuildName) -> None:
    """Try a build, then make it the default.

    It has to load a model and generate; the embedded build needs no trial. Profiles that name a build of their
    own keep it.
    """
    from hostler.cli import output
    from hostler.cli.active_build import known_builds
    from hostler.config.edit import set_value
    from hostler.engines.installed import FOLDER, Trials

    builds, home = known_builds(session.config), _home(session)
    build = await builds.get(name)
    trials = Trials(home.state / FOLDER)
    trial = trials.of(build)
    if trial is None and build.kind != "embedded":
        _say(session, f"Trying {name} ...")
        trial = await _try(session, name, builds)
    set_value(home.config_file, "engines.default_build", name)
    told = trial or trials.of(build)
    if session.json:
        done = Used(
            name=name, written_to=home.config_file,
            decode=told.decode if told else None, prefill=told.prefill if told else None,
        )  # fmt: skip
        output.write_json(done)
        return
    speed = f" ({_speeds(told)})" if told else ""
    print(f"{name} is the default build{speed}. What is loaded keeps its build until it is loaded again.")


async def build(
    session: Session,
    source: SourceOption = None,
    backend: BackendOption = "auto",
    name: NameOption = None,
    jobs: JobsOption = None,
    use_it: UseOption = False,
    dry_run: DryRun = False,
) -> None:
    """Build llama.cpp for this machine, and try it.

    Without --source from the sources in the pinned source package llama-cpp-python. Low priority, minutes to an
    hour; Ctrl-C ends it and leaves nothing.
    """
    from hostler.cli import output
    from hostler.engines import native
    from hostler.engines.installed import FOLDER
    from hostler.engines.recipe import recipe
    from hostler.hardware.inspection import inspect

    if source is not None and not source.exists():
        raise ModelError(f"{source} does not exist.", hint="Name a checkout or an archive of llama.cpp.")
    machine, tools, home = inspect(), native.installed_tools(), _home(session)
    made = recipe(machine.devices, tools, None if backend == "auto" else backend)
    if dry_run:
        _show_plan(session, made, source)
        return
    order = native.Order(
        recipe=made, tools=tools, folder=home.state / FOLDER, log=home.logs / LOG, name=name, source=source,
        jobs=jobs or max(machine.cpu.cores, 1),
    )  # fmt: skip
    _say(session, f"Building for {made.backend} ({made.reason}); the log is {order.log}.")
    _model(session)  # what it is tried with must be there before an hour is spent
    found: list[Trial] = []
    finished = await native.build(order, lambda path: _tried(session, path, found), _Told(session).show)
    if use_it:
        await use(session, finished.name)
    elif session.json:
        output.write_json(await _info(finished.name, "made", session, finished))
    else:
        print(
            f"{finished.name} is built and tried ({_speeds(found[0])}). `hostler engine use {finished.name}` uses it."
        )


async def _tried(session: Session, path: Path, found: list[Trial]) -> None:
    from hostler.cli.active_build import known_builds

    found.append(await _try(session, str(path), known_builds(session.config)))


async def _try(session: Session, name: str, builds: Builds) -> Trial:
    """Try a build, and the embedded one beside it unless it was before; both are remembered."""
    from hostler.engines.installed import FOLDER, Trials
    from hostler.engines.trial import attempt

    trials = Trials(_home(session).state / FOLDER)
    ground = _ground(session)
    trial = await attempt(name, builds, ground)
    trials.keep(await builds.get(name), trial)
    try:
        embedded = builds.embedded()
        if trials.of(embedded) is None:
            trials.keep(embedded, await attempt("embedded", builds, ground))
    except HostlerError:
        pass  # nothing to compare with
    return trial


def _ground(session: Session) -> Ground:
    from hostler.engines.trial import Ground

    home = _home(session)
    return Ground(model=_model(session), logs=home.logs, state=home.state, cache=home.cache)


def _model(session: Session) -> Model:
    """The starter model; fetched when it is not there."""
    from hostler.models.facts import Model
    from hostler.models.starters import STARTERS, fetch

    path = fetch(STARTERS["smollm2"], _home(session).models, lambda _: None)
    return Model(name="smollm2", files=(path,), size=path.stat().st_size, origin="library")


async def _listed(session: Session) -> list[BuildInfo]:
    from hostler.engines.builds import find_on_path
    from hostler.engines.installed import FOLDER, listed

    known = [await _info("embedded", "embedded", session)]
    known += [await _info(made.name, "made", session, made) for made in listed(_home(session).state / FOLDER)]
    others = [str(found)] if (found := find_on_path()) else []
    default = _default(session)
    if default and default not in {info.name for info in known} | set(others):
        others.append(default)
    return known + [await _info(path, "path", session) for path in others]


async def _info(name: str, kind: Kind, session: Session, made: Installed | None = None) -> BuildInfo:
    """What is known of a build; a broken one says why."""
    from hostler.cli.active_build import known_builds

    active = name == (_default(session) or "embedded")
    try:
        build = await known_builds(session.config).get(name)
    except HostlerError as error:
        return BuildInfo(name=name, kind=kind, active=active, problem=error.message)
    return _described(name, kind, active, build, session, made)


def _described(
    name: str, kind: Kind, active: bool, build: Build, session: Session, made: Installed | None
) -> BuildInfo:
    from hostler.engines.capabilities import capabilities
    from hostler.engines.installed import FOLDER, Trials

    trial = Trials(_home(session).state / FOLDER).of(build)
    return BuildInfo(
        name=name,
        kind=kind,
        active=active,
        version=build.version,
        path=build.path,
        devices=build.devices,
        capabilities=capabilities(build),
        decode=trial.decode if trial else None,
        prefill=trial.prefill if trial else None,
        trial_model=trial.model if trial else None,
        source=made.source if made else "",
        options=made.options if made else (),
    )


def _home(session: Session) -> Home:
    from hostler.config import paths

    return paths.home(os.environ, session.config)


def _default(session: Session) -> str | None:
    from hostler.cli.whereabouts import load_config

    return load_config(session.config).config.engines.default_build


def _show_plan(session: Session, made: Recipe, source: Path | None) -> None:
    from hostler.cli.output import write_json
    from hostler.engines.native import PACKAGE, VERSION

    origin = str(source) if source else f"{PACKAGE} {VERSION} (source package)"
    if session.json:
        write_json(BuildPlan(backend=made.backend, reason=made.reason, source=origin, options=made.options))
        return
    print(f"Backend {made.backend}: {made.reason}.\nSource: {origin}.\nCMake options:")
    for option in made.options:
        print(f"  {option}")


def _speeds(trial: Trial) -> str:
    from hostler.cli.output import rate

    return f"{trial.model}: {rate(trial.decode)} tokens/s, prompts {rate(trial.prefill)} tokens/s"


def _say(session: Session, text: str) -> None:
    if not session.json:
        print(text, flush=True)


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
