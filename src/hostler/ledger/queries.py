"""The ledger's read side."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from hostler.errors import StoreUnavailable
from hostler.wire.management import RequestRecord

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from hostler.ledger.recorder import Recorder
    from hostler.store.writer import Writer


class ProfileUse(msgspec.Struct, frozen=True, kw_only=True):
    """What a profile did: finished requests, tokens in and out, and when it was last asked (Unix seconds)."""

    profile: str
    requests: int
    tokens_in: int
    tokens_out: int
    last_at: float


class Queries:
    """Questions to the ledger; each sees every request recorded before it was asked."""

    def __init__(self, writer: Writer, recorder: Recorder) -> None:
        self._writer = writer
        self._recorder = recorder

    async def recent(self, limit: int = 50, profile: str | None = None) -> tuple[RequestRecord, ...]:
        """The newest ``limit`` finished requests (of ``profile``), newest first.

        Without a database: those that still wait to be written.
        """
        try:
            await self._recorder.flush()
            return await self._writer.run(lambda connection: _recent(connection, limit, profile))
        except StoreUnavailable:
            rows = [row for row in reversed(self._recorder.waiting()) if profile in (None, row.profile)]
            return tuple(rows[:limit])

    async def use(self) -> tuple[ProfileUse, ...]:
        """What each profile did so far, the most used first. Raises StoreUnavailable."""
        await self._recorder.flush()
        return await self._writer.run(_use)


def _recent(connection: Connection, limit: int, profile: str | None) -> tuple[RequestRecord, ...]:
    from sqlalchemy import select

    from hostler.store.schema import requests

    columns = [column for column in requests.columns if column.name != "row"]
    query = select(*columns).order_by(requests.c.at.desc(), requests.c.row.desc()).limit(limit)
    if profile is not None:
        query = query.where(requests.c.profile == profile)
    return tuple(RequestRecord(**row) for row in connection.execute(query).mappings())


def _use(connection: Connection) -> tuple[ProfileUse, ...]:
    from sqlalchemy import func, select

    from hostler.store.schema import requests

    count = func.count().label("requests")
    query = (
        select(
            requests.c.profile,
            count,
            func.coalesce(func.sum(requests.c.tokens_in), 0).label("tokens_in"),
            func.coalesce(func.sum(requests.c.tokens_out), 0).label("tokens_out"),
            func.max(requests.c.at).label("last_at"),
        )
        .group_by(requests.c.profile)
        .order_by(count.desc(), requests.c.profile)
    )
    return tuple(ProfileUse(**row) for row in connection.execute(query).mappings())
