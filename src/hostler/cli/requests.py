"""`hostler requests` and `hostler cancel`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from hostler.cli.command import Session, command

if TYPE_CHECKING:
    from rich.table import Table

    from hostler.wire.management import RequestRecord, Requests

Count = Annotated[int, typer.Option("-n", "--lines", min=0, help="How many finished requests to show.")]
RequestId = Annotated[str, typer.Argument(metavar="ID", help="As `hostler requests` shows it.")]


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    command(app, "requests", "hostler requests        in flight, and the last finished ones", "hostler requests -n 50")(
        requests
    )
    command(app, "cancel", "hostler cancel req-12   the id comes from `hostler requests`")(cancel)


async def requests(session: Session, lines: Count = 10) -> None:
    """List requests: in flight, then finished ones."""
    from hostler.cli import output

    async with session.connect() as client:
        known = await client.requests(lines)
    if session.json:
        output.write_json(known)
    elif not known.in_flight and not known.recent:
        print("No request has come yet.")
    else:
        output.console(session).print(_requests(known, lines))


async def cancel(session: Session, request: RequestId) -> None:
    """Cancel a queued or running request."""
    from hostler.cli import output

    async with session.connect() as client:
        done = await client.cancel(request)
    if session.json:
        output.write_json(done)
    else:
        print(f"{done.request} is cancelled.")


def _requests(known: Requests, lines: int) -> Table:
    from rich.text import Text

    from hostler.cli import output

    shown = output.table(
        "ID", "PROFILE", "API", "STATE", "IN", "OUT", "WAIT", "TOTAL", right=("IN", "OUT", "WAIT", "TOTAL"),
        fold="PROFILE",
    )  # fmt: skip
    for flying in known.in_flight:
        shown.add_row(
            Text(flying.id),
            Text(flying.profile),
            Text(flying.api),
            output.state(flying.state),
            "",
            "",
            "",
            output.seconds(flying.age_s),
        )
    for record in known.recent[:lines]:
        shown.add_row(
            Text(record.id),
            Text(record.profile),
            Text(record.api),
            Text(_outcome(record), style="" if record.status < 400 else "red"),
            output.dash(record.tokens_in),
            output.dash(record.tokens_out),
            _ms(record.queue_ms + record.load_ms),
            _ms(record.total_ms),
        )
    return shown


def _outcome(record: RequestRecord) -> str:
    return "cancelled" if record.cancelled else str(record.status)


def _ms(value: float) -> str:
    return f"{value:.0f} ms" if value < 1000 else f"{value / 1000:.1f} s"
