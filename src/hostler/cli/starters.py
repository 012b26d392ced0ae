"""`hostler starters`: fetch small real models, and write profiles for them."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from hostler.cli.command import Session, command
from hostler.cli.noting import note
from hostler.cli.progress import progress
from hostler.errors import InvalidRequest

if TYPE_CHECKING:
    from hostler.config.settings import Config
    from hostler.models.starters import Starter

TERMS = {"Gemma Terms of Use": "https://ai.google.dev/gemma/terms"}
FILE_HEADER = """\
# Hostler's configuration. `hostler config show` lists every setting, its value and where it comes from.

[gateway]
default = "{name}"      # for requests that name no profile
preload = ["{name}"]    # loaded at start
"""

starters_app = typer.Typer(
    name="starters",
    help="Fetch small, real models to try things out with.",
    no_args_is_help=True,
    rich_markup_mode=None,
    epilog="\b\nExamples:\n  hostler starters ls\n  hostler starters fetch smollm2",
)


class StarterInfo(msgspec.Struct, frozen=True, kw_only=True):
    """One starter model; ``size`` in bytes, ``path`` where it lies or would lie."""

    name: str
    size: int
    licence: str
    fetched: bool
    path: Path


class Fetched(msgspec.Struct, frozen=True, kw_only=True):
    """What `fetch` did: where the model lies, and the file its profile was written to, if it was."""

    name: str
    path: Path
    profile_written_to: Path | None


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    command(
        starters_app,
        "fetch",
        "hostler starters fetch smollm2",
        "hostler starters fetch smollm2 gemma3-270m",
        gateway=False,
    )(fetch)
    command(starters_app, "ls", "hostler starters ls", gateway=False)(ls)
    app.add_typer(starters_app)


def _complete(incomplete: str) -> list[str]:
    from hostler.models.starters import STARTERS

    return [name for name in STARTERS if name.startswith(incomplete)]


Names = Annotated[
    list[str], typer.Argument(metavar="NAME", help="As `hostler starters ls` shows them.", autocompletion=_complete)
]


def ls(session: Session) -> None:
    """List the starter models."""
    from rich.text import Text

    from hostler.cli import output
    from hostler.models.starters import STARTERS

    models = _models(session)
    known = [_info(starter, models) for starter in STARTERS.values()]
    if session.json:
        output.write_json(known)
        return
    shown = output.table("STARTER", "SIZE", "FETCHED", "LICENCE", right=("SIZE",), fold="LICENCE")
    for info in known:
        shown.add_row(Text(info.name), output.size(info.size), "yes" if info.fetched else "no", Text(info.licence))
    output.console(session).print(shown)


def fetch(session: Session, names: Names) -> None:
    """Fetch starter models and write profiles for them.

    Each is checked by its SHA-256. Profiles that are in hostler.toml already stay as they are.
    """
    from hostler.cli.output import write_json
    from hostler.models import starters

    chosen = [_starter(name, starters.STARTERS) for name in names]
    models = _models(session)
    done = []
    for starter in chosen:
        _show_terms(session, starter)
        with progress(session) as show:
            path = starters.fetch(starter, models, show)
        note(session.config, "fetch starter", starter.name)
        done.append(Fetched(name=starter.name, path=path, profile_written_to=write_profile(session.config, starter)))
        if not session.json:
            _tell(done[-1])
    if session.json:
        write_json(done)


def _starter(name: str, known: dict[str, Starter]) -> Starter:
    if name not in known:
        raise InvalidRequest(f"No starter model is called {name}.", hint=f"There are: {', '.join(known)}.")
    return known[name]


def _models(session: Session) -> Path:
    from hostler.config import paths

    return paths.home(os.environ, session.config).models


def _info(starter: Starter, models: Path) -> StarterInfo:
    path = models / starter.file_name
    return StarterInfo(name=starter.name, size=starter.size, licence=starter.licence, fetched=path.is_file(), path=path)


def _show_terms(session: Session, starter: Starter) -> None:
    if session.json:
        return
    terms = TERMS.get(starter.licence)
    if terms is None:
        print(f"{starter.name}: licence {starter.licence}.")
    else:
        print(f"{starter.name}: using it means accepting the {starter.licence}, {terms}")


def _tell(fetched: Fetched) -> None:
    print(f"{fetched.name}: {fetched.path}")
    if fetched.profile_written_to is not None:
        print(f"{fetched.name}: profile written to {fetched.profile_written_to}")


def write_profile(config_file: Path | None, starter: Starter) -> Path | None:
    """Write the starter's profile into the file unless one is there for its model; the file if written.

    What a user wrote is never changed: a profile of that name, or one with that model, stays as it is.
    Raises ConfigError when the file is not valid.
    """
    from hostler.cli.whereabouts import load_config
    from hostler.config.edit import add_profile

    loaded = load_config(config_file)
    if _has(loaded.config, starter):
        return None
    if loaded.text is None:
        _begin(loaded.file, starter)
    else:
        fields: dict[str, object] = tomllib.loads(starter.profile)["profiles"][starter.name]
        add_profile(loaded.file, starter.name, fields, None)
    return loaded.file


def _has(config: Config, starter: Starter) -> bool:
    models = {profile.model for profile in config.profiles.values()}
    return starter.name in config.profiles or any(Path(model).name == starter.file_name for model in models)


def _begin(file: Path, starter: Starter) -> None:
    """The first configuration: this starter is the default and is loaded at start."""
    file.parent.mkdir(parents=True, exist_ok=True)
    text = f"{FILE_HEADER.format(name=starter.name)}\n{starter.profile}"
    # Exclusive: a file that appeared meanwhile is someone's work.
    with file.open("x", encoding="utf-8") as out:
        out.write(text)
