"""Sums over the ledger, made by the database. Imported only where the database is used."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from sqlalchemy import ColumnElement, Connection, and_, case, func, literal, select

from hostler.store.schema import requests
from hostler.wire.management import RequestRecord
from hostler.wire.usage import By, Usage, Use

ROWS: Final = 1000
#: Rows of an export that are read, and encoded, at a time.
PAGE: Final = 250

_at = requests.c
_NAMES: Final[dict[By, ColumnElement[str]]] = {
    "profile": _at.profile,
    "key": _at.principal,
    "day": func.date(_at.at, "unixepoch", "localtime"),
    "api": _at.api,
}


def usage(connection: Connection, by: By, since: float | None, until: float | None) -> Usage:
    """The most used :data:`ROWS` names, or the last so many days, and the total."""
    name, within = _NAMES[by], _within(since, until)
    if by == "day":
        rows = _used(connection, within, name, name.desc())[::-1]
    else:
        rows = _used(connection, within, name, func.count().desc(), name)
    (total,) = _used(connection, within, literal(""))
    return Usage(by=by, since=since, until=until, rows=tuple(rows), total=total)


def page(
    connection: Connection, after: int, since: float | None, until: float | None
) -> tuple[int, list[RequestRecord]]:
    """The next :data:`PAGE` requests in the order of their end, and what to call ``after`` for those that follow."""
    query = select(requests).where(*_within(since, until), _at.row > after).order_by(_at.row).limit(PAGE)
    rows = [dict(row) for row in connection.execute(query).mappings()]
    last = [int(row.pop("row")) for row in rows]
    return (last[-1] if last else after), [RequestRecord(**row) for row in rows]


def _used(
    connection: Connection,
    within: list[ColumnElement[bool]],
    name: ColumnElement[str],
    *order: ColumnElement[str] | ColumnElement[int],
) -> list[Use]:
    """Sums by ``name`` in this order, or of everything without one."""
    generated = and_(_at.generated_ms > 0, _at.tokens_out > 1)
    fresh = _at.tokens_in - func.coalesce(_at.tokens_cached, 0)
    query = select(
        name.label("name"),
        func.count().label("requests"),
        _total(case((and_(_at.status >= 400, ~_at.cancelled), 1), else_=0)).label("failed"),
        _total(case((_at.cancelled, 1), else_=0)).label("cancelled"),
        _total(_at.tokens_in).label("tokens_in"),
        _total(_at.tokens_cached).label("tokens_cached"),
        _total(_at.tokens_out).label("tokens_out"),
        func.avg(_at.queue_ms + _at.load_ms).label("wait_ms"),
        func.avg(_at.first_byte_ms).label("first_byte_ms"),
        _speed(and_(_at.prompt_ms > 0, fresh > 1), fresh, _at.prompt_ms).label("prompt_tokens_per_s"),
        # The engine's clock starts when the first token is there.
        _speed(generated, _at.tokens_out - 1, _at.generated_ms).label("generated_tokens_per_s"),
        func.max(_at.at).label("last_at"),
    ).where(*within)
    if order:
        query = query.group_by(name).order_by(*order).limit(ROWS)
    return [Use(**row) for row in connection.execute(query).mappings()]


def _total(column: ColumnElement[int]) -> ColumnElement[int]:
    return func.coalesce(func.sum(column), 0)


def _speed(
    counts: ColumnElement[bool], tokens: ColumnElement[int], milliseconds: ColumnElement[float]
) -> ColumnElement[float | Decimal]:
    """Tokens a second of the requests that count; NULL of none."""
    return 1e3 * func.sum(case((counts, tokens))) / func.sum(case((counts, milliseconds)))


def _within(since: float | None, until: float | None) -> list[ColumnElement[bool]]:
    bounds = [] if since is None else [_at.at >= since]
    return bounds if until is None else [*bounds, _at.at < until]
