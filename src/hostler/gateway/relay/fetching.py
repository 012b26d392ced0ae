"""A whole answer of an engine, for those who need one before they go on."""

from __future__ import annotations

import asyncio
from typing import Final, NamedTuple

from hostler.engines.protocol import Endpoint
from hostler.errors import EngineLost
from hostler.gateway.relay.http1 import Head
from hostler.gateway.relay.upstream import Connection, Pool

LARGEST: Final = 16 * 2**20


class Reply(NamedTuple):
    """What an engine answered."""

    head: Head
    body: bytes


class _Stale(Exception):
    """A pooled connection had been closed meanwhile."""


async def fetched(pool: Pool, endpoint: Endpoint, request: bytes) -> Reply:
    """The answer to ``request``, which is a whole one. Raises EngineLost. Cancelling hangs up."""
    connection = pool.take(endpoint)
    if connection is not None:
        try:
            return await _answer(connection, request)
        except _Stale:
            pass
    return await _answer(await pool.connect(endpoint), request)


async def _answer(connection: Connection, request: bytes) -> Reply:
    whole = _Whole(connection)
    connection.send(request, whole)
    try:
        return await whole.reply
    finally:
        if not whole.over:
            connection.hang_up()


class _Whole:
    """Hears an answer to its end."""

    def __init__(self, connection: Connection) -> None:
        self.reply: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self.over = False  # the connection is no longer ours
        self._connection = connection
        self._head: Head | None = None
        self._body: list[bytes] = []
        self._size = 0

    def on_head(self, head: Head, *, alone: bool) -> None:
        self._head = head

    def on_data(self, data: bytes) -> None:
        self._size += len(data)
        self._body.append(data)
        if self._size > LARGEST:
            self._fail(EngineLost(f"The engine's answer is over {LARGEST} bytes."))
            self._connection.hang_up()

    def on_end(self) -> None:
        assert self._head is not None
        self.over = True
        if not self.reply.done():
            self.reply.set_result(Reply(self._head, b"".join(self._body)))

    def on_lost(self, error: EngineLost, *, stale: bool) -> None:
        self._fail(_Stale() if stale else error)

    def on_stalled(self) -> None:
        self._connection.hang_up()

    def _fail(self, error: Exception) -> None:
        self.over = True
        if not self.reply.done():
            self.reply.set_exception(error)
