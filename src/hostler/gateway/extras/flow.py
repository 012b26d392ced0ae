"""An engine's answer as it comes, for an ASGI app to send on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Final

from hostler.errors import EngineLost
from hostler.gateway.relay.http1 import Head
from hostler.gateway.relay.upstream import Connection

#: So many bytes wait for a client that does not keep up; then the engine waits.
BUFFER: Final = 256 * 1024


class Flow:
    """Hears the answer that comes on ``connection``. Close it in the end, whatever became of it."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._head: Head | None = None
        self._pieces: list[bytes] = []
        self._size = 0
        self._error: EngineLost | None = None
        self._more = asyncio.Event()
        self._stale = self._over = False

    def on_head(self, head: Head, *, alone: bool) -> None:
        self._head = head
        self._more.set()

    def on_data(self, data: bytes) -> None:
        self._pieces.append(data)
        self._size += len(data)
        if self._size > BUFFER:
            self._connection.pause()
        self._more.set()

    def on_end(self) -> None:
        self._over = True
        self._more.set()

    def on_lost(self, error: EngineLost, *, stale: bool) -> None:
        self._error, self._stale, self._over = error, stale, True
        self._more.set()

    def on_stalled(self) -> None:
        self._connection.hang_up()
        self.on_lost(EngineLost("The client reads nothing."), stale=False)

    async def fresh(self) -> bool:
        """False when the connection had been closed before anything came. Cancelling closes."""
        try:
            while self._head is None and self._error is None:
                await self._more.wait()
                self._more.clear()
        except asyncio.CancelledError:
            self.close()
            raise
        return not self._stale

    def close(self) -> None:
        """Hang up unless the answer was read to its end."""
        if not self._over:
            self._over = True
            self._connection.hang_up()

    async def begun(self) -> Head:
        """The head. Raises EngineLost."""
        while self._head is None:
            await self._next()
        return self._head

    async def pieces(self) -> AsyncIterator[bytes]:
        """The body. Raises EngineLost when it breaks off."""
        while True:
            if self._pieces:
                data, self._pieces, self._size = b"".join(self._pieces), [], 0
                yield data
                if not self._over:  # else it may be somebody else's by now
                    self._connection.resume()
            elif self._over and self._error is None:
                return
            else:
                await self._next()

    async def _next(self) -> None:
        if self._error is not None:
            raise self._error
        await self._more.wait()
        self._more.clear()
