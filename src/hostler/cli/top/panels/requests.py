"""Requests: those that wait and run, then the last finished ones."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
from rich.text import Text

from hostler.cli.output import dash
from hostler.cli.top.board import Board, Snapshot
from hostler.cli.top.columns import Column, fit
from hostler.cli.top.marks import BAD, DIM, short_time, state
from hostler.cli.top.panels.panel import Row, Shown, note
from hostler.wire.management import RequestInFlight, RequestRecord


class _Item(msgspec.Struct, frozen=True):
    """A line: a request in flight, at its ``place`` in the line for its profile (0: it runs), or one that ended
    ``age_s`` ago."""

    request: RequestInFlight | RequestRecord
    place: int
    age_s: float


class Requests:
    """The line in its order, what runs, and what is over, newest first."""

    id = "requests"
    selects = True
    tail = False

    def show(self, board: Board, width: int) -> Shown:
        """One line a request."""
        if board.snapshot is None:
            return Shown("Requests", (note("waiting for the gateway", width),))
        items = list(_items(board.snapshot))
        table = fit(COLUMNS, items, width)
        rows = [_row(item, table.row(item)) for item in items]
        empty = note("No request has come yet.", width)
        return Shown(_title(board.snapshot), tuple(rows) or (empty,), table.head() if rows else None)


def _title(snapshot: Snapshot) -> str:
    waiting = len(_queued(snapshot))
    running = len(snapshot.requests.in_flight) - waiting
    return f"Requests ({running} running, {waiting} waiting)"


def _items(snapshot: Snapshot) -> Iterator[_Item]:
    for waiting in _queued(snapshot):
        yield _Item(waiting, waiting.place or 0, waiting.age_s)
    for running in snapshot.requests.in_flight:
        if running.state == "running":
            yield _Item(running, 0, running.age_s)
    for record in snapshot.requests.recent:
        yield _Item(record, 0, snapshot.at - record.at - record.total_ms / 1000)


def _queued(snapshot: Snapshot) -> list[RequestInFlight]:
    """Those that wait, the one that waits longest first."""
    return sorted((each for each in snapshot.requests.in_flight if each.state == "queued"), key=lambda r: -r.age_s)


def _row(item: _Item, line: Text) -> Row:
    past = isinstance(item.request, RequestRecord)
    if past:
        line.stylize_before(DIM)
    return Row(item.request.id, line, past)


def _outcome(item: _Item) -> Text:
    if isinstance(item.request, RequestInFlight):
        return state(item.request.state)
    if item.request.cancelled:
        return Text("cancelled", style=DIM)
    return Text(str(item.request.status), style=BAD if item.request.status >= 400 else "")


def _took(item: _Item) -> str:
    """How long it takes until now, or took in all."""
    if isinstance(item.request, RequestInFlight):
        return short_time(item.age_s)
    return short_time(item.request.total_ms / 1000)


def _tokens(item: _Item) -> str:
    if isinstance(item.request, RequestInFlight) or (item.request.tokens_in, item.request.tokens_out) == (None, None):
        return ""
    return f"{dash(item.request.tokens_in)}>{dash(item.request.tokens_out)}"


def _waited(item: _Item) -> str:
    if isinstance(item.request, RequestInFlight):
        return short_time(item.age_s) if item.request.state == "queued" else ""
    return short_time((item.request.queue_ms + item.request.load_ms) / 1000)


def _ago(item: _Item) -> str:
    return "now" if isinstance(item.request, RequestInFlight) else f"{short_time(item.age_s)} ago"


def _instance(item: _Item) -> str:
    return (item.request.instance or "") if isinstance(item.request, RequestInFlight) else ""


COLUMNS: tuple[Column[_Item], ...] = (
    Column("REQUEST", lambda item: item.request.id, least=16),
    Column("PROFILE", lambda item: item.request.profile, least=10),
    Column("STATE", _outcome),
    Column("PLACE", lambda item: str(item.place or ""), rank=1, right=True),
    Column("TIME", _took, right=True),
    Column("KEY", lambda item: item.request.principal, rank=2, least=5),
    Column("TOKENS", _tokens, rank=5, right=True),
    Column("WAITED", _waited, rank=6, right=True),
    Column("WHEN", _ago, rank=4, right=True),
    Column("API", lambda item: item.request.api, rank=3, least=6),
    Column("INSTANCE", _instance, rank=7),
)
