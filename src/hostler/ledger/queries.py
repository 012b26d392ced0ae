"""The ledger's read side."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from functools import partial
from typing import TYPE_CHECKING

from hostler.errors import StoreUnavailable
from hostler.wire.management import RequestRecord
from hostler.wire.usage import By, Usage

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from hostler.ledger.recorder import Recorder
    from hostler.store.writer import Writer


class Queries:
    """Questions to the ledger; each sees every request recorded before it was asked."""

    def __init__(self, writer: Writer, recorder: Recorder) -> None:
        self._writer = writer
        self._recorder = recorder

    async def recent(
        self, limit: int = 50, profile: str | None = None, until: float | None = None
    ) -> tuple[RequestRecord, ...]:
        """The newest ``limit`` finished requests (of ``profile``, that came before ``until``), newest first.

        Without a database: those that still wait to be written.
        """
        try:
            await self._recorder.flush()
            return await self._writer.run(lambda connection: _recent(connection, limit, profile, until))
        except StoreUnavailable:
            rows = [row for row in reversed(self._recorder.waiting()) if profile in (None, row.profile)]
            return tuple(row for row in rows if until is None or row.at < until)[:limit]

    async def usage(self, by: By, since: float | None = None, until: float | None = None) -> Usage:
        """What was used, added up ``by`` profile, key, day or API. Raises StoreUnavailable."""
        await self._recorder.flush()
        return await self._writer.run(partial(_usage, by=by, since=since, until=until))

    async def export(
        self, since: float | None = None, until: float | None = None
    ) -> AsyncGenerator[list[RequestRecord], None]:
        """Every finished request in the order of their end, a page at a time. Raises StoreUnavailable."""
        await self._recorder.flush()
        last, rows = await self._writer.run(partial(_page, after=0, since=since, until=until))
        while rows:
            yield rows
            last, rows = await self._writer.run(partial(_page, after=last, since=since, until=until))


# Imported in the writer's thread: SQLAlchemy belongs behind the listener.


def _usage(connection: Connection, by: By, since: float | None, until: float | None) -> Usage:
    from hostler.ledger.usage import usage

    return usage(connection, by, since, until)


def _page(
    connection: Connection, after: int, since: float | None, until: float | None
) -> tuple[int, list[RequestRecord]]:
    from hostler.ledger.usage import page

    return page(connection, after, since, until)


def _recent(connection: Connection, limit: int, profile: str | None, until: float | None) -> tuple[RequestRecord, ...]:
    from sqlalchemy import select

    from hostler.store.schema import requests

    columns = [column for column in requests.columns if column.name != "row"]
    query = select(*columns).order_by(requests.c.at.desc(), requests.c.row.desc()).limit(limit)
    if profile is not None:
        query = query.where(requests.c.profile == profile)
    if until is not None:
        query = query.where(requests.c.at < until)
    return tuple(RequestRecord(**row) for row in connection.execute(query).mappings())
