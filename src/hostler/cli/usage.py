"""`hostler usage`."""

from __future__ import annotations

import csv
import sys
import time
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from hostler.cli.command import Session, command, usage_error
from hostler.config.quantities import Seconds
from hostler.wire.usage import By

if TYPE_CHECKING:
    from rich.table import Table

    from hostler.wire.usage import Usage, Use

Per = Annotated[By, typer.Option("--by", help="What the rows are.")]
Since = Annotated[
    str | None,
    typer.Option(metavar="WHEN", help="Only requests since then: 7d, 12h, or 2026-11-01.", show_default=False),
]
Until = Annotated[str | None, typer.Option(metavar="WHEN", help="Only requests before then.", show_default=False)]
Rows = Annotated[bool, typer.Option("--rows", help="Every request instead of sums: one JSON object a line, or CSV.")]
Csv = Annotated[bool, typer.Option("--csv", help="Write CSV for spreadsheets.")]


def register(app: typer.Typer) -> None:
    """Add the command of this module."""
    command(
        app,
        "usage",
        "hostler usage                          by profile, since the ledger began",
        "hostler usage --by day --since 30d     a month, day by day",
        "hostler usage --by key --since 2026-11-01 --csv",
        "hostler usage --rows --csv > all.csv   every request that ended",
    )(usage)


async def usage(
    session: Session,
    by: Per = "profile",
    since: Since = None,
    until: Until = None,
    rows: Rows = False,
    as_csv: Csv = False,
) -> None:
    """Add up requests, tokens and speeds from the ledger."""
    from hostler.cli import output

    begin, end = moment(since, time.time()), moment(until, time.time())
    async with session.connect() as client:
        if rows:
            async for line in client.finished("csv" if as_csv else "jsonl", begin, end):
                print(line)
            return
        used = await client.usage(by, begin, end)
    if as_csv:
        _write_csv(used)
    elif session.json:
        output.write_json(used)
    elif not used.total.requests:
        print("No request has ended in that time.")
    else:
        output.console(session).print(_table(used))


def moment(text: str | None, now: float) -> float | None:
    """Unix seconds of ``7d`` (so long ago) or ``2026-11-01`` (its first moment here); ends the command otherwise."""
    if text is None:
        return None
    try:
        return now - Seconds.parse(text)
    except ValueError:
        pass
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        usage_error(f"{text!r} is no moment: write 7d or 12h for so long ago, or a day such as 2026-11-01.")


def _write_csv(used: Usage) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    columns = used.total.__struct_fields__
    writer.writerow([used.by, *columns[1:]])
    for row in used.rows:
        writer.writerow([getattr(row, name) for name in columns])


def _table(used: Usage) -> Table:
    from hostler.cli import output

    numbers = ("REQUESTS", "FAILED", "IN", "CACHED", "OUT", "WAIT", "FIRST", "READ/S", "OUT/S")
    shown = output.table(used.by.upper(), *numbers, right=numbers, fold=used.by.upper())
    for row in used.rows:
        shown.add_row(*_cells(row, row.name))
    if len(used.rows) > 1:
        shown.add_row(*_cells(used.total, "total"), style="bold")
    return shown


def _cells(row: Use, name: str) -> Sequence[str]:
    from hostler.cli import output

    return (
        name,
        str(row.requests),
        output.dash(row.failed or None),
        f"{row.tokens_in:,}",
        f"{row.tokens_cached:,}",
        f"{row.tokens_out:,}",
        _ms(row.wait_ms),
        _ms(row.first_byte_ms),
        output.rate(row.prompt_tokens_per_s),
        output.rate(row.generated_tokens_per_s),
    )


def _ms(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.0f} ms" if value < 1000 else f"{value / 1000:.1f} s"
