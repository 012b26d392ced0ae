"""`hostler logs`."""

from __future__ import annotations

from contextlib import aclosing
from typing import Annotated

import typer

from hostler.cli.command import Session, command
from hostler.cli.completion import complete_profile

Whose = Annotated[
    str | None,
    typer.Argument(
        metavar="PROFILE", help="Whose engine; without it the gateway's own log.", autocompletion=complete_profile
    ),
]
FollowOption = Annotated[bool, typer.Option("--follow", "-f", help="Go on with new lines until Ctrl-C.")]
LinesOption = Annotated[int, typer.Option("--lines", "-n", min=0, help="How many of the last lines.")]


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    command(app, "logs", "hostler logs                    the gateway", "hostler logs smollm2 -f         its engine")(
        logs
    )


async def logs(session: Session, profile: Whose = None, follow: FollowOption = False, lines: LinesOption = 100) -> None:
    """Show the last lines of a log, and follow it."""
    from hostler.cli import output

    async with session.connect() as client, aclosing(client.logs(profile, lines=lines, follow=follow)) as arriving:
        async for line in arriving:
            if session.json:
                output.write_json_line({"line": line})
            else:
                print(line, flush=follow)
