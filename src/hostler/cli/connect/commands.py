"""`hostler connect` and `hostler claude`."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from hostler.cli.command import Session, command, usage_error
from hostler.cli.completion import complete_profile


def _complete(incomplete: str) -> list[str]:
    from hostler.cli.connect.known import complete

    return complete(incomplete)


ClientName = Annotated[
    str | None,
    typer.Argument(
        metavar="CLIENT", help="claude-code, codex, opencode, aider, continue, open-webui or llm; without one: a list.",
        autocompletion=_complete, show_default=False,
    ),
]  # fmt: skip
ModelOption = Annotated[
    str | None,
    typer.Option(
        "--model", metavar="PROFILE", help="What it works with; default: the chat profile with the largest context.",
        autocompletion=complete_profile, show_default=False,
    ),
]  # fmt: skip
SmallOption = Annotated[
    str | None,
    typer.Option(
        "--small-model", metavar="PROFILE", help="For titles and summaries; default: the same, so that nothing swaps.",
        autocompletion=complete_profile, show_default=False,
    ),
]  # fmt: skip
WriteOption = Annotated[bool, typer.Option("--write", help="Write the files instead of showing them.")]
UndoOption = Annotated[bool, typer.Option("--undo", help="Take back what --write wrote.")]
CheckOption = Annotated[bool, typer.Option("--check", help="Make one real call as this client would.")]
NewKeyOption = Annotated[
    bool, typer.Option("--new-key", help="Make a key for this client, put into its files (which are then 0600).")
]
Words = Annotated[
    list[str] | None, typer.Argument(metavar="ARGS...", help="What Claude Code takes itself.", show_default=False)
]


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    command(
        app,
        "connect",
        "hostler connect                        the clients, and which are set up",
        "hostler connect codex                  what its configuration must be",
        "hostler connect codex --write --check  write it, and make one call",
        "hostler connect opencode --write --model coder",
        "hostler connect codex --undo",
    )(connect)
    command(
        app,
        "claude",
        "hostler claude                         Claude Code with the models of this gateway alone",
        'hostler claude --model coder -p "What does this repository do?"',
        passes_on=True,
    )(claude)


async def connect(
    session: Session,
    client: ClientName = None,
    model: ModelOption = None,
    small: SmallOption = None,
    write: WriteOption = False,
    undo: UndoOption = False,
    check: CheckOption = False,
    new_key: NewKeyOption = False,
) -> None:
    """Point a client to this gateway.

    Shows the files that it needs; with --write they are written, each in one step, and what was there is kept beside
    it for --undo. Where the client allows it, they are files of their own, apart from what it uses otherwise.

    A key is never copied: files refer to HOSTLER_KEY where the client can, and --new-key makes one for the client.
    """
    from hostler.cli.connect import setting_up

    if client is None:
        setting_up.show_clients(session)
    elif undo:
        setting_up.take_back(session, client)
    else:
        wish = setting_up.Wish(client=client, model=model, small=small, write=write, check=check, new_key=new_key)
        await setting_up.set_up(session, wish)


def claude(session: Session, words: Words = None, model: ModelOption = None, small: SmallOption = None) -> int:
    """Start Claude Code on this gateway, and on no other.

    It gets a configuration folder apart from the user's own account, the gateway's address and models, and every switch
    that keeps it from talking to anybody else. What follows the options goes to it; its exit code is ours.

    Where the gateway has keys it gets one of its own, for these models and nothing else, that ends with it.
    """
    import shutil

    import anyio

    from hostler.cli.connect import claude_code
    from hostler.cli.connect.lent import run_lent
    from hostler.cli.connect.setting_up import found_target, places, warn_of_room
    from hostler.errors import NotFound

    if session.json:
        usage_error("--json says nothing here; after -- it goes to Claude Code.")
    program = shutil.which(claude_code.CLIENT.program)
    if program is None:
        raise NotFound("Claude Code is not installed: there is no command `claude`.", hint=claude_code.CLIENT.install)
    target, where = anyio.run(found_target, session, model, small), places(session)
    warn_of_room(target)
    claude_code.folder(where).mkdir(parents=True, exist_ok=True, mode=0o700)
    sys.stdout.flush()
    started = [program, *(words or ())]
    code = anyio.run(run_lent, started, target, where)
    if code is None:  # the same process: signals, terminal and exit code need no one between
        os.execve(program, started, claude_code.started_with(target, where))  # noqa: S606
    return code
