"""`hostler run PROFILE -- COMMAND`: a profile loaded for the time of one command, which finds it by its environment."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import typer

from hostler.cli.command import Session, command
from hostler.cli.connect.client import NO_KEY, VARIABLE
from hostler.cli.connect.environment import past_proxies, usual
from hostler.cli.following import followed
from hostler.cli.lending import lent
from hostler.cli.residency import ProfileName
from hostler.errors import HostlerError, InvalidRequest

if TYPE_CHECKING:
    from hostler.client.gateway import Client

CommandArgument = Annotated[
    list[str], typer.Argument(metavar="COMMAND...", help="What to run; write -- before it.", show_default=False)
]

HOLD_S = 120.0  # how long a profile stays when this process is killed
RENEW_S = HOLD_S / 3


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    command(
        app,
        "run",
        "hostler run coder -- aider --model openai/coder",
        "hostler run coder -- claude         OPENAI_* and ANTHROPIC_* name the gateway",
    )(run)


async def run(session: Session, profile: ProfileName, words: CommandArgument) -> int:
    """Run a command with a profile loaded for it.

    What was loaded leaves when the command ends.

    The command gets OPENAI_BASE_URL, OPENAI_API_KEY, ANTHROPIC_BASE_URL, ANTHROPIC_AUTH_TOKEN, OLLAMA_HOST,
    HOSTLER_URL, and the profile in OPENAI_MODEL, ANTHROPIC_MODEL and HOSTLER_PROFILE. Signals go to it; its exit
    code is ours.

    Where the gateway has keys it gets one of its own, for this profile and nothing else, that ends with it.
    """
    if shutil.which(words[0]) is None:
        raise InvalidRequest(f"There is no command {words[0]!r}.", hint="Write it as you would in a shell.")
    import anyio

    async with session.connect() as client:
        held = await client.hold(profile, HOLD_S)
        try:
            async with lent(client, ("run", words[0]), (held.profile,)) as loan:
                names = usual(client.url, loan.key or os.environ.get(VARIABLE) or NO_KEY, held.profile)
                env = {**loan.environ(os.environ), **past_proxies(client.url, os.environ), **names}
                return await followed(words, env, lambda: _renew(client, held.profile, held.id), loan.beside)
        finally:
            with anyio.CancelScope(shield=True), suppress(HostlerError):
                if held.id is not None:
                    await client.end_hold(held.id)


async def _renew(client: Client, profile: str, hold: str | None) -> None:
    """Prolong the hold for as long as the command runs; a gateway that is away for a moment is no reason to stop."""
    import anyio

    while hold is not None:
        await anyio.sleep(RENEW_S)
        with suppress(HostlerError):
            await client.hold(profile, HOLD_S, hold=hold)
