"""`hostler key`: make, list and remove keys, with and without a running gateway."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
import typer

from hostler.cli.command import Session, command
from hostler.errors import HostlerError

if TYPE_CHECKING:
    from hostler.accounts.keys import Keyring, StoredKey

Scope = Literal["inference", "admin"]

key_app = typer.Typer(
    name="key",
    help="Make, list and remove keys.",
    no_args_is_help=True,
    rich_markup_mode=None,
    epilog="\b\nExamples:\n  hostler key new laptop\n  hostler key new me --scope admin\n  hostler key ls\n"
    "  hostler key rm laptop",
)


class KeyInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A key as it is listed; ``created`` in seconds since the Unix epoch, if known."""

    name: str
    scope: Scope
    created: float | None


class NewKey(KeyInfo, frozen=True, kw_only=True):
    """A key that was just made, the only time that it is shown."""

    key: str


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    command(
        key_app,
        "new",
        "hostler key new laptop                                   for models only",
        "export HOSTLER_KEY=$(hostler key new me --scope admin)   for this command line",
        gateway=False,
    )(new)
    command(key_app, "ls", "hostler key ls", gateway=False)(ls)
    command(key_app, "rm", "hostler key rm laptop", gateway=False)(rm)
    app.add_typer(key_app)


def _complete(incomplete: str) -> list[str]:
    try:
        names = _keyring(None).names
    except HostlerError:
        return []
    return [name for name in names if name.startswith(incomplete)]


NewName = Annotated[str, typer.Argument(metavar="NAME", help="Who or what will use it; requests are listed under it.")]
KnownName = Annotated[
    str, typer.Argument(metavar="NAME", help="As `hostler key ls` shows it.", autocompletion=_complete)
]
ScopeOption = Annotated[
    Scope,
    typer.Option(
        "--scope",
        help="`inference` may only use models; `admin` may also manage the gateway, as this command line does.",
    ),
]


def new(session: Session, name: NewName, scope: ScopeOption = "inference") -> None:
    """Make a key; it is shown this once.

    Only the key goes to standard output. A running gateway takes it within two seconds. As soon as one key exists
    every request needs one, on this machine too.
    """
    from hostler.cli.output import write_json

    ring = _keyring(session.config)
    key = ring.add(name, scope)
    made = ring.stored[-1]
    if session.json:
        write_json(NewKey(name=name, scope=scope, created=made.created, key=key))
        return
    print(key, flush=True)
    _note(_said_of(made, ring))


def _said_of(made: StoredKey, ring: Keyring) -> Iterator[str]:
    may = "do everything" if made.scope == "admin" else "only use models"
    yield f"This key, {made.name}, may {may}. It is not shown again."
    if len(ring.stored) == 1:
        yield "It is the first one: from now on every request needs a key, on this machine too."
    yield "A running gateway takes it within two seconds; clients send it as `Authorization: Bearer KEY`."
    if made.scope == "admin":
        yield "This command line sends the key that HOSTLER_KEY holds."
    yield from _without_admin(ring)


def _without_admin(ring: Keyring) -> Iterator[str]:
    if ring.stored and all(key.scope != "admin" for key in ring.stored):
        yield "No key may manage the gateway, as `hostler ls` does: make one with `hostler key new NAME --scope admin`."


def ls(session: Session) -> None:
    """List the keys."""
    from hostler.cli.output import write_json

    stored = _keyring(session.config).stored
    if session.json:
        write_json([KeyInfo(name=key.name, scope=key.scope, created=key.created) for key in stored])
    elif not stored:
        print("There is no key: the gateway is open to this machine, and listens nowhere else.")
    else:
        _print_keys(session, stored)


def _print_keys(session: Session, stored: tuple[StoredKey, ...]) -> None:
    from rich.text import Text

    from hostler.cli import output

    shown = output.table("KEY", "SCOPE", "CREATED", fold="KEY")
    for key in stored:
        made = key.created and datetime.fromtimestamp(key.created).strftime("%Y-%m-%d %H:%M")
        shown.add_row(Text(key.name), Text(key.scope), output.dash(made))
    output.console(session).print(shown)


def rm(session: Session, name: KnownName) -> None:
    """Remove a key.

    A running gateway refuses it within two seconds; what it is being answered at that time goes on.
    """
    from hostler.cli.output import write_json

    ring = _keyring(session.config)
    ring.remove(name)
    if session.json:
        write_json({"removed": name})
        return
    print(f"{name} is removed; a running gateway refuses it within two seconds.")
    if ring.empty:
        _note(["No key is left: a gateway on loopback is open to this machine, any other lets nobody in."])
    _note(_without_admin(ring))


def _note(lines: Iterator[str] | list[str]) -> None:
    # Standard output is for what a script wants to have.
    for line in lines:
        print(line, file=sys.stderr)


def _keyring(config: Path | None) -> Keyring:
    from hostler.accounts.keys import FILE_NAME, Keyring
    from hostler.cli.whereabouts import state_folder

    return Keyring.load(state_folder(config) / FILE_NAME)
