"""Sums over requests, and the days that keep them for good. Imported only where the database is used."""

from __future__ import annotations

from typing import Final, NamedTuple

from sqlalchemy import ColumnElement, Connection, and_, case, delete, false, func, or_, select
from sqlalchemy.dialects.sqlite import insert

from hostler.store.schema import days, requests

_at = requests.c
_generated = and_(_at.generated_ms > 0, _at.tokens_out > 1)
_fresh = _at.tokens_in - func.coalesce(_at.tokens_cached, 0)
_read = and_(_at.prompt_ms > 0, _fresh > 1)

#: The day of a request, by this machine's clock.
DAY: Final[ColumnElement[str]] = func.date(_at.at, "unixepoch", "localtime")


def _total(column: ColumnElement[int] | ColumnElement[float]) -> ColumnElement[int]:
    return func.coalesce(func.sum(column), 0)


#: What requests add up to, by the columns of the table of days.
SUMS: Final[dict[str, ColumnElement[int]]] = {
    "at": func.min(_at.at),
    "last_at": func.max(_at.at),
    "requests": func.count(),
    "failed": _total(case((and_(_at.status >= 400, ~_at.cancelled), 1), else_=0)),
    "cancelled": _total(case((_at.cancelled, 1), else_=0)),
    "tokens_in": _total(_at.tokens_in),
    "tokens_cached": _total(_at.tokens_cached),
    "tokens_out": _total(_at.tokens_out),
    "wait_ms": _total(_at.queue_ms + _at.load_ms),
    "first_byte_ms": _total(_at.first_byte_ms),
    "first_bytes": func.count(_at.first_byte_ms),
    "prompt_tokens": _total(case((_read, _fresh))),
    "prompt_ms": _total(case((_read, _at.prompt_ms))),
    # The engine's clock starts when the first token is there.
    "generated_tokens": _total(case((_generated, _at.tokens_out - 1))),
    "generated_ms": _total(case((_generated, _at.generated_ms))),
}
_KEY: Final = {"day": DAY, "principal": _at.principal, "profile": _at.profile, "api": _at.api}


class Going(NamedTuple):
    """Rows up to the number ``last`` that are older than ``before``, and all up to the number ``over``."""

    last: int
    before: float | None = None
    over: int | None = None


def going(connection: Connection, before: float | None, most: int) -> Going | None:
    """Which rows are older than ``before``, or one too many; None when all stay.

    Rows are numbered in the order in which requests ended.
    """
    aged = None if before is None else connection.scalar(select(func.max(_at.row)).where(_at.at < before))
    over = connection.scalar(select(_at.row).order_by(_at.row.desc()).offset(most).limit(1))
    last = max((row for row in (aged, over) if row is not None), default=None)
    return None if last is None else Going(last, before, over)


def add_to_days(connection: Connection, which: Going, most: int) -> int:
    """Move the oldest of these rows, at most so many, into the sums of their days; how many.

    Each by its own time: a clock that was wrong for a while takes no others along.
    """
    aged = false() if which.before is None else _at.at < which.before
    over = false() if which.over is None else _at.row <= which.over
    goes = and_(_at.row <= which.last, or_(aged, over))
    old = select(_at.row).where(goes).order_by(_at.row).limit(most)
    end = connection.scalar(select(func.max(old.subquery().c.row)))
    if end is None:
        return 0
    these = and_(goes, _at.row <= end)
    sums = select(*(column.label(name) for name, column in (_KEY | SUMS).items()))
    added = insert(days).from_select([*_KEY, *SUMS], sums.where(these).group_by(*_KEY.values()))
    both = {name: days.c[name] + added.excluded[name] for name in SUMS}
    both |= {"at": func.min(days.c.at, added.excluded.at), "last_at": func.max(days.c.last_at, added.excluded.last_at)}
    connection.execute(added.on_conflict_do_update(index_elements=list(_KEY), set_=both))
    return connection.execute(delete(requests).where(these)).rowcount
