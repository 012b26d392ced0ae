"""`hostler audit`: who did what, and when."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from hostler.cli.command import Session, command

if TYPE_CHECKING:
    from hostler.wire.audit import AuditRecord

LimitOption = Annotated[int, typer.Option("--limit", min=1, max=10_000, help="How many, at most.")]


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    command(app, "audit", "hostler audit", "hostler audit --limit 500 --json", gateway=False)(audit)


def audit(session: Session, limit: LimitOption = 50) -> None:
    """Show who loaded, switched, changed or imported what.

    Newest first; keys made and removed are there too. Read from the state folder of this machine, whether a gateway
    runs or not.
    """
    from hostler.accounts.audit import FILE_NAME, Audit
    from hostler.cli.output import write_json
    from hostler.cli.whereabouts import state_folder

    records = Audit(state_folder(session.config) / FILE_NAME).recent(limit)
    if session.json:
        write_json(records)
    elif not records:
        print("Nothing was done yet.")
    else:
        _print(session, records)


def _print(session: Session, records: list[AuditRecord]) -> None:
    from rich.text import Text

    from hostler.cli import output

    shown = output.table("WHEN", "WHO", "FROM", "WHAT", "TO", "ANSWER", fold="TO")
    for record in records:
        when = datetime.fromtimestamp(record.at).strftime("%Y-%m-%d %H:%M:%S")
        to = " ".join(part for part in (record.target, record.detail) if part)
        cells = (output.dash(record.who), record.address or record.via, record.action, output.dash(to))
        shown.add_row(Text(when), *map(Text, cells), Text(output.dash(record.status)))
    output.console(session).print(shown)
