"""`hostler load`, `unload`, `switch` and `pin`, with the progress of what they set going."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated

import typer

from hostler.cli.command import Session, command
from hostler.cli.completion import complete_profile
from hostler.cli.watching import watched

if TYPE_CHECKING:
    from hostler.client.gateway import Client
    from hostler.wire.management import Pinned, Switched

ProfileName = Annotated[
    str, typer.Argument(metavar="PROFILE", help="A profile or an alias.", autocompletion=complete_profile)
]
NowOption = Annotated[bool, typer.Option("--now", help="Cut running requests off instead of letting them finish.")]
PinOption = Annotated[bool, typer.Option("--pin", help="Pin it too: it makes no room for others.")]
KeepOption = Annotated[bool, typer.Option("--keep", help="Leave the other profiles loaded.")]


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    command(
        app,
        "load",
        "hostler load smollm2            evicts only what it needs",
        "hostler load smollm2 --pin      and stays, until it is unloaded or unpinned",
    )(load)
    command(
        app,
        "unload",
        "hostler unload smollm2          once its requests are done",
        "hostler unload smollm2 --now    at once",
    )(unload)
    command(
        app,
        "switch",
        "hostler switch gemma3-270m      nothing else stays loaded",
        "hostler switch gemma3-270m --keep",
    )(switch)
    command(app, "pin", "hostler pin smollm2             until the gateway ends")(pin)
    command(app, "unpin", "hostler unpin smollm2           even if the configuration pins it")(unpin)


async def load(session: Session, profile: ProfileName, pinned: PinOption = False) -> None:
    """Load a profile and wait until it is ready.

    Evicts only what it needs, and never a busy profile.
    """

    async def act(client: Client) -> Switched:
        done = await client.load(profile)
        if pinned:
            await client.pin(profile)
        return done

    await _do(session, profile, "Loading", act)


async def unload(session: Session, profile: ProfileName, now: NowOption = False) -> None:
    """Unload a profile when its running requests are done."""
    await _do(session, profile, "Unloading", lambda client: client.unload(profile, now=now))


async def switch(session: Session, profile: ProfileName, keep: KeepOption = False) -> None:
    """Load a profile and unload all others.

    The others finish their running requests first; pinned ones stay.
    """
    async with session.connect() as client:
        await switch_to(session, client, profile, keep=keep)


async def pin(session: Session, profile: ProfileName) -> None:
    """Let a profile make no room for others, loaded or not.

    Ends with the gateway, with `unpin` or `unload`; the configuration stays as it is.
    """
    async with session.connect() as client:
        _tell_pin(session, await client.pin(profile))


async def unpin(session: Session, profile: ProfileName) -> None:
    """Let a profile make room like others again."""
    async with session.connect() as client:
        _tell_pin(session, await client.unpin(profile))


def _tell_pin(session: Session, done: Pinned) -> None:
    from hostler.cli import output

    if session.json:
        output.write_json(done)
    else:
        print(f"{done.profile} is {'pinned' if done.pinned else 'not pinned'}.")


async def switch_to(session: Session, client: Client, profile: str, *, keep: bool = False) -> None:
    """Switch a gateway that is connected already; shows progress and the result."""
    _tell(
        session, await watched(session, client, f"Switching to {profile}", profile, client.switch(profile, keep=keep))
    )


async def _do(session: Session, profile: str, doing: str, act: Callable[[Client], Awaitable[Switched]]) -> None:
    async with session.connect() as client:
        _tell(session, await watched(session, client, f"{doing} {profile}", profile, act(client)))


def _tell(session: Session, done: Switched) -> None:
    from hostler.cli import output

    if session.json:
        output.write_json(done)
        return
    print(said(done))


def said(done: Switched) -> str:
    """What was done, in a sentence."""
    from hostler.cli import output

    if done.profile in done.unloaded and done.state not in ("unloaded", "failed"):
        return f"{done.profile} was unloaded, and is {done.state} again: a request came for it."
    others = [name for name in done.unloaded if name != done.profile]
    left = f"; unloaded {output.listed(others)}" if others else ""
    return f"{done.profile} is {done.state}{left}."
