"""`hostler captures`: what profiles with `capture = true` were asked and answered. No gateway serves these files."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from hostler.cli.command import Session, command
from hostler.cli.completion import complete_profile
from hostler.cli.noting import note

captures_app = typer.Typer(
    name="captures",
    help="What profiles with `capture = true` were asked and answered.",
    no_args_is_help=True,
    rich_markup_mode=None,
    epilog="\b\nExamples:\n  hostler captures ls\n  hostler captures show req-1f2e3d4c-7\n  hostler captures clear",
)

ProfileName = Annotated[
    str | None,
    typer.Argument(
        metavar="[PROFILE]", help="Only those of this profile.", show_default=False, autocompletion=complete_profile
    ),
]
RequestId = Annotated[str, typer.Argument(metavar="ID", help="As `hostler captures ls` shows it.")]


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    command(captures_app, "ls", "hostler captures ls smollm2", gateway=False)(ls)
    command(captures_app, "show", "hostler captures show req-1f2e3d4c-7", gateway=False)(show)
    command(captures_app, "clear", "hostler captures clear smollm2", gateway=False)(clear)
    app.add_typer(captures_app)


def ls(session: Session, profile: ProfileName = None) -> None:
    """List captures, oldest first."""
    from hostler.cli import output
    from hostler.ledger.captures import captured

    found = [capture for _, capture in captured(_folder(session), profile)]
    if session.json:
        output.write_json(found)
    elif not found:
        print("Nothing is captured: set `capture = true` in a profile.")
    else:
        shown = output.table("ID", "WHEN", "PROFILE", "API", "STATUS", "KEY", "ASKED", fold="ASKED")
        for each in found:
            when = datetime.fromtimestamp(each.at).strftime("%m-%d %H:%M:%S")
            first = each.asked[-60:].replace("\n", " ")
            shown.add_row(each.id, when, each.profile, each.api, str(each.status), each.principal, f"...{first}")
        output.console(session).print(shown)


def show(session: Session, request: RequestId) -> None:
    """Show what an engine was asked and its client got."""
    from hostler.cli import output
    from hostler.errors import NotFound
    from hostler.ledger.captures import captured

    for _, capture in captured(_folder(session)):
        if capture.id == request:
            break
    else:
        raise NotFound(f"No capture of {request}.", hint="`hostler captures ls` lists them.")
    if session.json:
        output.write_json(capture)
        return
    print(capture.asked, capture.answered, sep="\n\n")
    if capture.cut:
        output.console(session, stderr=True).print("Not all of it was kept.")


def clear(session: Session, profile: ProfileName = None) -> None:
    """Remove captures."""
    from hostler.cli import output
    from hostler.ledger.captures import clear

    count = clear(_folder(session), profile)
    note(session.config, "clear captures", profile or "", f"{count} of them")
    if session.json:
        output.write_json({"captures": count})
    else:
        print(f"Captures removed: {count}.")


def _folder(session: Session) -> Path:
    from hostler.cli.whereabouts import state_folder
    from hostler.ledger.captures import FOLDER

    return state_folder(session.config) / FOLDER
