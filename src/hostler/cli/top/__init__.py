"""`hostler top`: a window on the gateway; and the menu that `hostler` alone shows.

The terminal's library is imported only where it is shown: `app.py`, `window.py`, `chooser.py`, `sheet.py`. The
rest is plain: `feed.py` keeps `board.py`'s value up to date, `panels/` makes lines of it, one file per panel.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from hostler.cli.command import ExitCode, Session, command, guarded
from hostler.errors import NoGateway

if TYPE_CHECKING:
    from hostler.cli.top.board import Snapshot

Once = Annotated[bool, typer.Option("--once", help="Print one frame as text and end.")]
UNKNOWN_WIDTH = 120


def register(app: typer.Typer) -> None:
    """Add the command."""
    command(
        app,
        "top",
        "hostler top             ? shows the keys, q leaves",
        "hostler top --once      one frame, for scripts",
        "hostler top --json      all of it as JSON",
    )(top)


async def top(session: Session, once: Once = False) -> int:
    """Watch what runs, in a window; load, switch, cancel there.

    Shows instances, devices, requests, events and logs. Survives restarts of the gateway. Not on a terminal it
    prints one frame, as with --once.
    """
    # Before the window: an error at the start is a command's error, not a line in a window.
    async with session.connect() as client:
        await client.status()
        if session.json or once or not _on_terminal():
            from hostler.cli.top.feed import snapshot

            _print(session, await snapshot(client), client.url)
            return 0
    return await _window(session, menu=False)


def alone(help_text: str) -> int:
    """`hostler` without a word: on a terminal the menu of profiles, then the window; else the help. The exit code."""
    session = Session(json=False, no_color=False, url=None, config=None)
    if not _on_terminal():
        print(help_text)
        return ExitCode.USAGE
    return guarded(session, lambda: _menu(session, help_text))


async def _menu(session: Session, help_text: str) -> int:
    """Without a gateway there is nothing to choose: the help, and how to start one."""
    try:
        async with session.connect() as client:
            await client.status()
    except NoGateway as error:
        print(help_text)
        print(f"\nhostler: {error} `hostler` then offers its profiles in a menu.", file=sys.stderr)
        return ExitCode.NO_GATEWAY
    return await _window(session, menu=True)


def _on_terminal() -> bool:
    """Whether a window can be shown: a terminal at both ends, and one that can move its cursor."""
    return sys.stdin.isatty() and sys.stdout.isatty() and os.environ.get("TERM") != "dumb"


async def _window(session: Session, *, menu: bool) -> int:
    # Read by the terminal's library when the window is made.
    if session.color:
        os.environ.pop("NO_COLOR", None)
    else:
        os.environ["NO_COLOR"] = "1"
    from hostler.cli.top.app import Top

    app = Top(session.connect, menu=menu)
    await app.run_async()
    return app.return_code or 0


def _print(session: Session, known: Snapshot, url: str) -> None:
    from hostler.cli import output

    if session.json:
        output.write_json(known)
        return
    import shutil

    from hostler.cli.top.board import of_snapshot
    from hostler.cli.top.frame import frame

    width = shutil.get_terminal_size((UNKNOWN_WIDTH, 24)).columns
    screen = output.console(session)
    for line in frame(of_snapshot(known, url), known.at, width):
        screen.print(line, soft_wrap=True)
