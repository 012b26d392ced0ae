"""`hostler engine`: builds side by side, which one is used, and a native one for this machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
import typer

from hostler.cli.building import build
from hostler.cli.command import Session, command
from hostler.cli.trying import home_of, make_default
from hostler.errors import HostlerError

if TYPE_CHECKING:
    from hostler.engines.building.installed import Installed, Underway
    from hostler.engines.builds import Build

Kind = Literal["embedded", "made", "building", "path"]

engine_app = typer.Typer(
    name="engine",
    help="The builds of engines on this machine.",
    no_args_is_help=True,
    rich_markup_mode=None,
    epilog="\b\nExamples:\n  hostler engine ls\n  hostler engine build\n  hostler engine use native-cuda",
)

BuildName = Annotated[str, typer.Argument(metavar="NAME", help="As `hostler engine ls` calls it, or a path.")]


class BuildInfo(msgspec.Struct, frozen=True, kw_only=True):
    """One build. ``kind``: inside the wheel, made here, being made, or found on PATH (used only when named).

    ``devices`` are the GPUs it can use; ``defects`` says of each that engines may have whether it has it, as far as it
    was asked; speeds are tokens per second of its last trial, None before one.
    ``active``: profiles that name no build use it. ``problem`` says why it cannot run, else empty.
    """

    name: str
    kind: Kind
    active: bool
    version: str = ""
    path: Path | None = None
    devices: tuple[str, ...] = ()
    capabilities: tuple[str, ...] = ()
    defects: dict[str, bool] = {}
    decode: float | None = None
    prefill: float | None = None
    trial_model: str | None = None
    source: str = ""
    options: tuple[str, ...] = ()
    problem: str = ""


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
        "hostler engine build --background  `hostler engine ls` shows how far it is",
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
    await make_default(session, name)


async def _listed(session: Session) -> list[BuildInfo]:
    from hostler.engines.building.installed import FOLDER, listed, underway
    from hostler.engines.builds import find_on_path

    known = [await _info("embedded", "embedded", session)]
    known += [await _info(made.name, "made", session, made) for made in listed(home_of(session).state / FOLDER)]
    known += [_underway(each) for each in underway(home_of(session).state / FOLDER)]
    others = [str(found)] if (found := find_on_path()) else []
    default = _default(session)
    if default and default not in {info.name for info in known} | set(others):
        others.append(default)
    return known + [await _info(path, "path", session) for path in others]


def _underway(each: Underway) -> BuildInfo:
    far = f" {each.fraction:.0%}" if each.fraction is not None else ""
    return BuildInfo(name=each.name, kind="building", active=False, version=f"{each.stage}{far} (pid {each.pid})")


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
    from hostler.engines.building.installed import FOLDER, Trials
    from hostler.engines.capabilities import capabilities
    from hostler.fleet.learning.findings import Findings

    state = home_of(session).state
    trial, findings = Trials(state / FOLDER).of(build), Findings(state).of(build.key)
    return BuildInfo(
        name=name,
        kind=kind,
        active=active,
        version=build.version,
        path=build.path,
        devices=build.devices,
        capabilities=capabilities(build),
        defects={name: not found.sound for name, found in findings.items() if found.sound is not None},
        decode=trial.decode if trial else None,
        prefill=trial.prefill if trial else None,
        trial_model=trial.model if trial else None,
        source=made.source if made else "",
        options=made.options if made else (),
    )


def _default(session: Session) -> str | None:
    from hostler.cli.whereabouts import load_config

    return load_config(session.config).config.engines.default_build
