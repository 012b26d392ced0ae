"""The ledger's write side: one row per finished request, in batches, never on the request path.

``record`` only appends to a bounded queue. Rows travel to the writer thread when :data:`BATCH` of them
wait or :data:`DELAY_S` after the first one. While the database cannot be written they wait here; what
exceeds the bound is dropped, counted, and told at most every :data:`TELL_S` seconds.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections import deque
from collections.abc import Callable, Sequence
from functools import cache
from itertools import chain
from typing import TYPE_CHECKING

from msgspec.structs import astuple

from hostler.errors import StoreUnavailable
from hostler.events import LedgerDropped
from hostler.wire.management import RequestRecord

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from hostler.clock import Clock
    from hostler.events import Bus
    from hostler.store.writer import Writer

BATCH = 1_000
DELAY_S = 1.0
RETRY_S = 5.0
BOUND = 5_000
TELL_S = 10.0
#: Rows that one statement writes: for each, the thread gives the interpreter away and has to get it back from the loop.
#: SQLite before 3.32 takes no more than 999 values in one.
TOGETHER = 200 if sqlite3.sqlite_version_info >= (3, 32) else 50


class Recorder:
    """Takes finished requests, and shows each to ``also``. All methods are called on the event loop's thread."""

    def __init__(
        self,
        writer: Writer,
        bus: Bus,
        clock: Clock,
        *,
        also: Sequence[Callable[[RequestRecord], None]] = (),
        bound: int = BOUND,
    ) -> None:
        self._writer = writer
        self._bus = bus
        self._clock = clock
        self._also = also
        self._bound = bound
        self._rows: deque[RequestRecord] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._flushing: asyncio.Task[None] | None = None
        self._told_at = float("-inf")
        self._told = 0
        self.dropped = 0

    def record(self, row: RequestRecord) -> None:
        """Keep ``row`` until it is written; the oldest waiting one is dropped when too many wait."""
        for take in self._also:
            take(row)
        self._rows.append(row)
        if len(self._rows) > self._bound:
            self._rows.popleft()
            self._drop(1, "more requests ended than could be written")
        if len(self._rows) >= BATCH and self._flushing is None:
            self._begin()
        elif self._timer is None and self._flushing is None:
            self._later(DELAY_S)

    def waiting(self) -> list[RequestRecord]:
        """Rows that are not written yet, oldest first."""
        return list(self._rows)

    async def flush(self) -> None:
        """Write what waits now. Raises StoreUnavailable, and keeps the rows, when the database cannot."""
        while self._flushing is not None:
            await asyncio.wait({self._flushing})
        await self._write()

    async def close(self) -> None:
        """Write what waits, or count it as dropped; nothing is recorded later."""
        try:
            await self.flush()
        except StoreUnavailable as failure:
            self._drop(len(self._rows), failure.message)
            self._rows.clear()
        finally:
            self._cancel_timer()

    def _begin(self) -> None:
        self._cancel_timer()
        self._flushing = asyncio.get_running_loop().create_task(self._attempt(), name="ledger-flush")

    async def _attempt(self) -> None:
        """One write in the background; what came meanwhile is written with more, what failed is tried again."""
        began = self._clock.monotonic()
        try:
            await self._write()
            delay = max(0.0, DELAY_S - (self._clock.monotonic() - began))
        except StoreUnavailable:
            delay = RETRY_S
        finally:
            self._flushing = None
        if self._rows and self._timer is None:
            self._later(delay)

    async def _write(self) -> None:
        left = len(self._rows)  # not what comes meanwhile: each transaction waits for the disk, however small it is
        while left > 0 and self._rows:
            batch = [self._rows.popleft() for _ in range(min(BATCH, len(self._rows)))]
            left -= len(batch)
            try:
                await self._writer.run(lambda connection, rows=batch: _insert(connection, rows))  # type: ignore[misc]
            except StoreUnavailable as failure:
                self._put_back(batch, failure.message)
                raise

    def _put_back(self, batch: list[RequestRecord], reason: str) -> None:
        room = self._bound - len(self._rows)
        kept = batch[-room:] if room > 0 else []
        self._rows.extendleft(reversed(kept))
        self._drop(len(batch) - len(kept), reason)

    def _drop(self, count: int, reason: str) -> None:
        self.dropped += count
        due = self._clock.monotonic() - self._told_at >= TELL_S
        if self.dropped > self._told and due:
            self._told, self._told_at = self.dropped, self._clock.monotonic()
            self._bus.publish(LedgerDropped(total=self.dropped, reason=reason))

    def _later(self, delay: float) -> None:
        self._timer = asyncio.get_running_loop().call_later(delay, self._begin)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _insert(connection: Connection, rows: list[RequestRecord]) -> None:
    # As text with tuples: SQLAlchemy's own handling of each row would hold the interpreter, which the loop
    # needs, six times as long.
    whole = len(rows) - len(rows) % TOGETHER
    for start in range(0, whole, TOGETHER):
        values = chain.from_iterable(map(astuple, rows[start : start + TOGETHER]))
        connection.exec_driver_sql(_statement(TOGETHER), tuple(values))
    if whole < len(rows):
        connection.exec_driver_sql(_statement(1), [astuple(row) for row in rows[whole:]])


@cache
def _statement(count: int) -> str:
    """Inserts so many rows; the columns are the fields of a record, in their order."""
    fields = RequestRecord.__struct_fields__
    row = f"({', '.join('?' * len(fields))})"
    return f"INSERT INTO requests ({', '.join(fields)}) VALUES {', '.join([row] * count)}"  # noqa: S608 - no values
