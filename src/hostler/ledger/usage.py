"""What was used, and every row. Imported only where the database is used."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from sqlalchemy import ColumnElement, Connection, Select, Subquery, Table, func, literal, select, union_all

from hostler.ledger.sums import DAY, SUMS
from hostler.store.schema import days, requests
from hostler.wire.management import RequestRecord
from hostler.wire.usage import By, Usage, Use

ROWS: Final = 1000
#: Rows of an export that are read, and encoded, at a time.
PAGE: Final = 250

_NAMES: Final[dict[By, tuple[ColumnElement[str], ColumnElement[str]]]] = {
    "profile": (requests.c.profile, days.c.profile),
    "key": (requests.c.principal, days.c.principal),
    "day": (DAY, days.c.day),
    "api": (requests.c.api, days.c.api),
}


def usage(connection: Connection, by: By, since: float | None, until: float | None) -> Usage:
    """The most used :data:`ROWS` names, or the last so many days, and the total.

    Of requests that are no longer kept one by one, those of a key's whole day count when its first one is within.
    """
    parts = _parts(_NAMES[by], since, until)
    if by == "day":
        rows = _read(connection, _used(parts).order_by(parts.c.name.desc()))[::-1]
    else:
        rows = _read(connection, _used(parts).order_by(func.sum(parts.c.requests).desc(), parts.c.name))
    (total,) = _read(connection, _used(_parts(None, since, until)))
    return Usage(by=by, since=since, until=until, rows=tuple(rows), total=total)


def page(
    connection: Connection, after: int, since: float | None, until: float | None
) -> tuple[int, list[RequestRecord]]:
    """The next :data:`PAGE` requests in the order of their end, and what to call ``after`` for those that follow."""
    within = _within(requests, since, until)
    query = select(requests).where(*within, requests.c.row > after).order_by(requests.c.row).limit(PAGE)
    rows = [dict(row) for row in connection.execute(query).mappings()]
    last = [int(row.pop("row")) for row in rows]
    return (last[-1] if last else after), [RequestRecord(**row) for row in rows]


def _parts(
    names: tuple[ColumnElement[str], ColumnElement[str]] | None, since: float | None, until: float | None
) -> Subquery:
    """Sums of the requests that are kept, and of those that days keep, by these names or of everything."""
    kept, added = names or (literal(""), literal(""))
    ones = select(kept.label("name"), *(column.label(name) for name, column in SUMS.items()))
    ones = ones.where(*_within(requests, since, until))
    sums = select(added.label("name"), *(days.c[name] for name in SUMS)).where(*_within(days, since, until))
    # Without a group there is always a row, be it of nothing.
    return union_all(ones.group_by(kept) if names else ones, sums).subquery()


def _used(parts: Subquery) -> Select[tuple[object, ...]]:
    column = parts.c
    return (
        select(
            column.name,
            func.sum(column.requests).label("requests"),
            func.sum(column.failed).label("failed"),
            func.sum(column.cancelled).label("cancelled"),
            func.sum(column.tokens_in).label("tokens_in"),
            func.sum(column.tokens_cached).label("tokens_cached"),
            func.sum(column.tokens_out).label("tokens_out"),
            _ratio(parts, "wait_ms", "requests").label("wait_ms"),
            _ratio(parts, "first_byte_ms", "first_bytes").label("first_byte_ms"),
            (1e3 * _ratio(parts, "prompt_tokens", "prompt_ms")).label("prompt_tokens_per_s"),
            (1e3 * _ratio(parts, "generated_tokens", "generated_ms")).label("generated_tokens_per_s"),
            func.max(column.last_at).label("last_at"),
        )
        .group_by(column.name)
        .limit(ROWS)
    )


def _ratio(parts: Subquery, over: str, under: str) -> ColumnElement[float | Decimal]:
    """NULL where there is nothing to divide by."""
    return 1.0 * func.sum(parts.c[over]) / func.nullif(func.sum(parts.c[under]), 0)


def _read(connection: Connection, query: Select[tuple[object, ...]]) -> list[Use]:
    return [Use(**row) for row in connection.execute(query).mappings()]


def _within(table: Table, since: float | None, until: float | None) -> list[ColumnElement[bool]]:
    bounds = [] if since is None else [table.c.at >= since]
    return bounds if until is None else [*bounds, table.c.at < until]
