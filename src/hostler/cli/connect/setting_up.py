"""What `hostler connect` does: ask the gateway, compose, show or write, call once."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from hostler.cli import output
from hostler.cli.command import Session
from hostler.cli.connect.checking import Checked, check
from hostler.cli.connect.choosing import AGENTS_NEED, Offers, chosen
from hostler.cli.connect.client import VARIABLE, Client, Places, Target, shown
from hostler.cli.connect.composing import changes, veiled
from hostler.cli.connect.known import CLIENTS, named
from hostler.cli.connect.writing import Change, Undone, Written, configured, planned, undo, write
from hostler.cli.whereabouts import find_gateway, state_folder
from hostler.errors import InvalidRequest

if TYPE_CHECKING:
    from hostler.client.transport import Transport


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked for on the command line."""

    client: str
    model: str | None
    small: str | None
    write: bool
    check: bool
    new_key: bool


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """A client as `hostler connect` lists it."""

    name: str
    title: str
    installed: bool
    configured: bool
    install: str


class File(msgspec.Struct, frozen=True, kw_only=True):
    """A file of a client; ``changed`` when it is, or would be, other than before."""

    path: Path
    text: str
    changed: bool
    kept: Path | None = None


class Connected(msgspec.Struct, frozen=True, kw_only=True):
    """What `hostler connect CLIENT --json` prints."""

    client: str
    url: str
    model: str
    small_model: str
    context: int | None
    written: bool
    files: tuple[File, ...]
    start: str
    check: Checked | None = None


def places(session: Session) -> Places:
    """Where files of clients lie for this user and this home."""
    own = state_folder(session.config) / "clients"
    return Places(home=Path.home(), own=own, environ=os.environ)


def show_clients(session: Session) -> None:
    """One line for each client."""
    written = configured(places(session))
    known = [
        Known(
            name=client.name,
            title=client.title,
            installed=shutil.which(client.program) is not None,
            configured=client.name in written,
            install=client.install,
        )
        for client in CLIENTS.values()
    ]
    if session.json:
        output.write_json(known)
        return
    shown_table = output.table("CLIENT", "INSTALLED", "SET UP", "HOW TO INSTALL IT", fold="HOW TO INSTALL IT")
    for each in known:
        install = "" if each.installed else each.install
        shown_table.add_row(each.name, _word(each.installed), _word(each.configured), install)
    output.console(session).print(shown_table)


def _word(yes: bool) -> str:
    return "yes" if yes else "-"


async def set_up(session: Session, wish: Wish) -> None:
    """Show or write the files of a client; raises what the gateway, the key ring or the files refuse with."""
    client, where = named(wish.client), places(session)
    target = await found_target(session, wish.model, wish.small)
    if client.agent:
        warn_of_room(target)
    if wish.new_key:
        target = msgspec.structs.replace(target, key=_new_key(session, client))
    changing = [planned(each, where) for each in client.files(target, where)]
    written: tuple[Written, ...] = ()
    if wish.write:
        _show_changes(session, changing, target)
        written = write(client.name, changing, where, private=target.key is not None)
    checked = await _check(client, target) if wish.check else None
    done = _connected(client, target, where, changing, written, checked)
    if session.json:
        output.write_json(done)
    else:
        _tell(client, done, where)


async def found_target(session: Session, model: str | None, small: str | None) -> Target:
    """The gateway and the profiles that a client gets. Raises NoGateway, Unauthorized, UnknownProfile, WrongTask."""
    url = find_gateway(session.url, session.config).url
    transport = _transport(url, None)
    try:
        offers = (await transport.get("/v1/models", Offers)).data
    finally:
        await transport.close()
    main = chosen(offers, model)
    lesser = main if small is None else chosen(offers, small)
    return Target(
        url=url,
        model=main.id,
        small=lesser.id,
        context=main.context_length,
        keyed=bool(os.environ.get(VARIABLE)),
    )


def _transport(url: str, key: str | None) -> Transport:
    from hostler.client.transport import Transport

    return Transport(url, key or os.environ.get(VARIABLE))


def warn_of_room(target: Target) -> None:
    """Say on standard error that an agent may not fit into the context."""
    if target.context is not None and target.context < AGENTS_NEED:
        print(
            f"hostler: {target.model} has a context of {target.context:,} tokens; agents that write code want "
            f"{AGENTS_NEED:,} or more (`context` in its profile).",
            file=sys.stderr,
        )


def _new_key(session: Session, client: Client) -> str:
    """A key for inference, made in this home's key ring. Raises InvalidRequest for a gateway that is elsewhere."""
    from hostler.cli.keys import make_for_program

    found = find_gateway(session.url, session.config)
    if found.how == "asked" and not _is_ours(session, found.url):
        raise InvalidRequest(
            f"The keys of {found.url} are not kept here.",
            hint=f"On its machine `hostler key new {client.name}` makes one; then set {VARIABLE} to it.",
        )
    return make_for_program(session.config, client.name)


def _is_ours(session: Session, url: str) -> bool:
    from hostler.client.locate import read_record

    record = read_record(state_folder(session.config))
    return record is not None and record.url.rstrip("/") == url


async def _check(client: Client, target: Target) -> Checked:
    transport = _transport(target.url, target.key)
    try:
        return await check(transport, client.api, target.model, fresh_key=target.key is not None)
    finally:
        await transport.close()


def _connected(
    client: Client,
    target: Target,
    where: Places,
    changing: list[Change],
    written: tuple[Written, ...],
    checked: Checked | None,
) -> Connected:
    kept = {each.path: each.edited or each.kept for each in written}
    return Connected(
        client=client.name,
        url=target.url,
        model=target.model,
        small_model=target.small,
        context=target.context,
        written=bool(written),
        files=tuple(
            File(
                path=each.path,
                text=veiled(each.fresh, target.key, tells=not written),  # in the file nobody needs to see it
                changed=each.differs,
                kept=kept.get(each.path),
            )
            for each in changing
        ),
        start=client.start(target, where),
        check=checked,
    )


def _show_changes(session: Session, changing: list[Change], target: Target) -> None:
    if session.json:
        return
    for change in changing:
        sys.stdout.write(changes(change.path, change.current, change.fresh, target.key))
    sys.stdout.flush()


def _tell(client: Client, done: Connected, where: Places) -> None:
    for file in done.files:
        if not done.written:
            print(f"# {shown(file.path, where)}\n{file.text}")
        elif file.changed:
            before = f"; what was there is {shown(file.kept, where)}" if file.kept else ""
            print(f"Written: {shown(file.path, where)}{before}.")
        else:
            print(f"{shown(file.path, where)} is as it should be.")
    if not done.written:
        print(f"`hostler connect {client.name} --write` writes this.")
    print(f"Start: {done.start}")
    if client.after:
        print(client.after)
    if done.check is not None:
        print(_called(done.check))


def _called(checked: Checked) -> str:
    spent = f"{output.dash(checked.tokens_in)} tokens in, {output.dash(checked.tokens_out)} out"
    return f"Checked: {checked.path} answered as {checked.model}: {spent}, {checked.ms} ms."


def take_back(session: Session, name: str) -> None:
    """Undo what was written for a client. Raises NotFound, InvalidRequest, HomeError."""
    where = places(session)
    done = undo(named(name).name, where)
    if session.json:
        output.write_json(done)
        return
    for each in done:
        print(_undone(each, where))
    if name in _keys(session):
        print(f"The key that was made for it still works: `hostler key rm {name}` removes it.")


def _keys(session: Session) -> tuple[str, ...]:
    from hostler.accounts.keys import FILE_NAME, Keyring

    return tuple(Keyring.load(state_folder(session.config) / FILE_NAME).names)


def _undone(done: Undone, where: Places) -> str:
    path = shown(done.path, where)
    told = f"{path} is as it was before." if done.restored else f"{path} is removed."
    return f"{told} What was changed in it since is {shown(done.edited, where)}." if done.edited else told
