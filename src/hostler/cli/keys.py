"""`hostler key`: make, list and remove keys, with and without a running gateway."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
import typer

from hostler.cli.command import Session, command, usage_error
from hostler.errors import Conflict, HostlerError

if TYPE_CHECKING:
    from hostler.accounts.keys import Keyring, StoredKey

Scope = Literal["inference", "admin"]

key_app = typer.Typer(
    name="key",
    help="Make, list and remove keys.",
    no_args_is_help=True,
    rich_markup_mode=None,
    epilog="\b\nExamples:\n  hostler key new laptop\n  hostler key new me --scope admin\n"
    "  hostler key new guest --expires 30d --profile 'qwen-*'\n  hostler key ls\n"
    "  hostler key rm laptop",
)


class KeyInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A key as it is listed; ``created`` and ``expires`` in seconds since the Unix epoch, if they are known and set.

    ``lent_by`` is the key with which a command was started that has this one for as long as it runs.
    """

    name: str
    scope: Scope
    created: float | None
    expires: float | None = None
    profiles: tuple[str, ...] = ()
    rate: int | None = None
    lent_by: str = ""


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
        "hostler key new guest --expires 30d --profile 'qwen-*'    for a month, and some profiles",
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


ExpiresOption = Annotated[
    str | None, typer.Option("--expires", metavar="TIME", help="Ends after this time, such as 30d; default: never.")
]
ProfileOption = Annotated[
    list[str] | None,
    typer.Option(
        "--profile", metavar="PROFILE", help="May use this profile alone, or those that match `qwen-*`; repeatable."
    ),
]
RateOption = Annotated[
    int | None,
    typer.Option(
        "--rate", min=1, metavar="N", help="Requests a minute, wherever they come from; default: `[limits] key_rate`."
    ),
]


def new(
    session: Session,
    name: NewName,
    scope: ScopeOption = "inference",
    expires: ExpiresOption = None,
    profile: ProfileOption = None,
    rate: RateOption = None,
) -> None:
    """Make a key; it is shown this once.

    Only the key goes to standard output. A running gateway takes it within two seconds. As soon as one key exists
    every request needs one, on this machine too.
    """
    from hostler.accounts.keys import Bounds
    from hostler.cli.output import write_json

    ring = _keyring(session.config)
    key = ring.add(name, scope, Bounds(profiles=tuple(profile or ()), expires=_end(expires), rate=rate))
    made = ring.stored[-1]
    _audit(session.config, "new key", name, scope)
    if session.json:
        write_json(NewKey(**msgspec.structs.asdict(_info(made)), key=key))
        return
    print(key, flush=True)
    _note(_said_of(made, ring))


def make_for_program(config: Path | None, name: str) -> str:
    """Make a key for inference that goes into a program's files; what it may is said on standard error.

    Raises Conflict for a name that is taken, HomeError.
    """
    ring = _keyring(config)
    if name in ring.names:
        raise Conflict(f"There is a key for {name} already.", hint=f"`hostler key rm {name}` removes it; then again.")
    key = ring.add(name, "inference")
    _audit(config, "new key", name, "inference")
    _note(_said_of(ring.stored[-1], ring))
    return key


def _end(expires: str | None) -> float | None:
    """When a key ends that is made now; seconds since the Unix epoch."""
    from hostler.config.quantities import Seconds

    if expires is None:
        return None
    try:
        return time.time() + Seconds.parse(expires)
    except ValueError as error:
        usage_error(f"--expires: {error}.")


def _info(key: StoredKey) -> KeyInfo:
    return KeyInfo(**{name: getattr(key, name) for name in KeyInfo.__struct_fields__})


def _said_of(made: StoredKey, ring: Keyring) -> Iterator[str]:
    may = "do everything" if made.scope == "admin" else f"only use {', '.join(made.profiles) or 'models'}"
    until = f" until {_minute(made.expires)}" if made.expires else ""
    yield f"This key, {made.name}, may {may}{until}. It is not shown again."
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
    """List the keys.

    One that is lent belongs to a command that was started by `hostler run` or `hostler claude`, whose name and process
    it says; it may use that command's profiles alone, and ends with it, or an hour after it was killed.
    """
    from hostler.cli.output import write_json

    stored = _keyring(session.config).stored
    if session.json:
        write_json([_info(key) for key in stored])
    elif not stored:
        print("There is no key: the gateway is open to this machine, and listens nowhere else.")
    else:
        _print_keys(session, stored)


def _print_keys(session: Session, stored: tuple[StoredKey, ...]) -> None:
    from rich.text import Text

    from hostler.cli import output

    lent = ("LENT BY",) if any(key.lent_by for key in stored) else ()
    shown = output.table("KEY", "SCOPE", *lent, "CREATED", "EXPIRES", "A MINUTE", "PROFILES", fold="PROFILES")
    for key in stored:
        made, ends = key.created and _minute(key.created), key.expires and _minute(key.expires)
        if key.expires is not None and key.expires <= time.time():
            ends = f"{ends} (over)"
        rate = None if key.rate is None else str(key.rate)
        shown.add_row(
            Text(key.name), Text(key.scope), *(output.dash(key.lent_by) for _ in lent), output.dash(made),
            output.dash(ends), output.dash(rate), Text(", ".join(key.profiles) or "all"),
        )  # fmt: skip
    output.console(session).print(shown)


def _minute(at: float) -> str:
    return datetime.fromtimestamp(at).strftime("%Y-%m-%d %H:%M")


def rm(session: Session, name: KnownName) -> None:
    """Remove a key.

    A running gateway refuses it within two seconds; what it is being answered at that time goes on.
    """
    from hostler.cli.output import write_json

    ring = _keyring(session.config)
    ring.remove(name)
    _audit(session.config, "remove key", name)
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


def _audit(config: Path | None, action: str, name: str, detail: str = "") -> None:
    from hostler.accounts.audit import FILE_NAME, Audit, by_command
    from hostler.cli.whereabouts import state_folder

    Audit(state_folder(config) / FILE_NAME).write(by_command(action, name, detail))


def _keyring(config: Path | None) -> Keyring:
    from hostler.accounts.keys import FILE_NAME, Keyring
    from hostler.cli.whereabouts import state_folder

    return Keyring.load(state_folder(config) / FILE_NAME)
