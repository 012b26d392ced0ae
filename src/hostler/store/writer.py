"""One thread owns the database; everybody else sends it jobs.

The thread imports SQLAlchemy and opens the file by itself, so nothing of that delays the gateway. When the
database cannot be opened, jobs fail with StoreUnavailable and the next one after a pause tries again.
"""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Generic, TypeVar

from hostler import log
from hostler.errors import HostlerError, StoreUnavailable
from hostler.store.version import is_corruption, move_aside

if TYPE_CHECKING:
    from sqlalchemy import Connection

T = TypeVar("T")

RETRY_S = 5.0


class _Job(Generic[T]):
    """A function to run on the connection, and the future on the event loop that takes its result."""

    def __init__(self, work: Callable[[Connection], T], loop: asyncio.AbstractEventLoop) -> None:
        self._work = work
        self._loop = loop
        self.future: asyncio.Future[T] = loop.create_future()

    def run(self, connection: Connection, written: Callable[[], None]) -> None:
        """Do the work in one transaction and deliver what it returns. Raises what the database raises.

        ``written`` is called before that, if the work changed something.
        """
        before = _changes(connection)
        with connection.begin():
            result = self._work(connection)
        if _changes(connection) > before:
            written()
        self._settle(lambda: self.future.set_result(result))

    def fail(self, reason: BaseException) -> None:
        """Deliver a failure."""
        self._settle(lambda: self.future.set_exception(reason))

    def _settle(self, deliver: Callable[[], None]) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(lambda: None if self.future.done() else deliver())


class Writer:
    """Runs jobs one after another on the one connection to ``path``."""

    def __init__(self, path: Path, *, retry_s: float = RETRY_S) -> None:
        self.path = path
        self._retry_s = retry_s
        self._jobs: SimpleQueue[_Job[object] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._serve, name="hostler-store", daemon=True)
        self._connection: Connection | None = None
        self._retry_at = 0.0
        #: Why nothing can be written now; "" when it can, as far as is known.
        self.problem = ""

    def start(self) -> None:
        """Start the thread; it opens the database at once, in the background."""
        self._thread.start()

    async def run(self, work: Callable[[Connection], T]) -> T:
        """Run ``work`` in a transaction on the thread, after all jobs sent before.

        Raises StoreUnavailable when there is no usable database. Cancelling does not take the job back.
        """
        if not self._thread.is_alive():
            raise StoreUnavailable(f"The database {self.path} is closed.")
        job = _Job(work, asyncio.get_running_loop())
        self._jobs.put(job)  # type: ignore[arg-type]
        return await job.future

    async def close(self) -> None:
        """Run the jobs already sent, close the database, end the thread."""
        if self._thread.is_alive():
            self._jobs.put(None)
            await asyncio.to_thread(self._thread.join)

    def _serve(self) -> None:
        self._open()
        while (job := self._jobs.get()) is not None:
            self._attend(job)
        self._forget()

    def _attend(self, job: _Job[object]) -> None:
        connection = self._connection or self._open()
        if connection is None:
            job.fail(StoreUnavailable(f"The database {self.path} cannot be used: {self.problem}"))
            return
        try:
            job.run(connection, self._found)
        except Exception as failure:  # noqa: BLE001 - the edge of the thread: every failure goes to who asked
            job.fail(self._judge(failure))

    def _judge(self, failure: Exception) -> BaseException:
        """What a failed job's caller is told. After a database failure the file is opened anew."""
        cause = getattr(failure, "orig", failure)
        if not isinstance(cause, sqlite3.Error | OSError):
            return failure
        self._forget()
        try:
            if not is_corruption(cause):
                raise cause
            move_aside(self.path)
        except (OSError, sqlite3.Error) as reason:
            self._lose(str(reason))
        return StoreUnavailable(f"The database {self.path} cannot be used: {cause}")

    def _open(self) -> Connection | None:
        """The connection, or None while there is none to be had; tried at most every ``retry_s``."""
        if time.monotonic() < self._retry_at:
            return None
        from sqlalchemy.exc import SQLAlchemyError

        from hostler.store import database

        try:
            self._connection = database.connect(self.path)
        except (OSError, sqlite3.Error, SQLAlchemyError, subprocess.SubprocessError, HostlerError) as failure:
            self._lose(str(getattr(failure, "orig", failure)))
            return None
        return self._connection

    def _found(self) -> None:
        """Something was written: a file on a full disk can be opened too."""
        if self.problem:
            log.info("store.available", file=str(self.path))
        self.problem = ""

    def _lose(self, reason: str) -> None:
        if not self.problem:
            log.warning("store.unavailable", file=str(self.path), reason=reason)
        self.problem = reason
        self._retry_at = time.monotonic() + self._retry_s

    def _forget(self) -> None:
        if self._connection is None:
            return
        from sqlalchemy.exc import SQLAlchemyError

        from hostler.store import database

        connection, self._connection = self._connection, None
        try:
            database.close(connection)
        except (sqlite3.Error, SQLAlchemyError) as failure:
            log.debug("store.close_failed", reason=str(failure))


def _changes(connection: Connection) -> int:
    """Rows that were changed through this connection so far."""
    raw = connection.connection.driver_connection
    return raw.total_changes if isinstance(raw, sqlite3.Connection) else 0
