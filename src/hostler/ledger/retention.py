"""What the ledger no longer keeps one by one: moved into the sums of its day, in steps, behind everything else."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import anyio

from hostler import log
from hostler.errors import StoreUnavailable

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from hostler.clock import Clock
    from hostler.config.settings import LedgerSettings
    from hostler.ledger.sums import Going
    from hostler.store.writer import Writer

FIRST_S: Final = 120.0
EVERY_S: Final = 3600.0
#: Rows that go in one transaction, and pages of the file that are given back in one: some milliseconds each.
STEP: Final = 1000
PAGES: Final = 256


class Retention:
    """Keeps the ledger within its settings, which are asked anew each time."""

    def __init__(self, writer: Writer, settings: Callable[[], LedgerSettings], clock: Clock) -> None:
        self._writer = writer
        self._settings = settings
        self._clock = clock

    async def run(self) -> None:
        """Look some time after the start and then every hour, until cancelled."""
        await anyio.sleep(FIRST_S)
        begun = False
        while True:
            try:
                begun = begun or await self.begin()
                await self.tidy()
            except StoreUnavailable as failure:
                log.debug("ledger.untidied", reason=failure.message)
            except Exception as bug:  # noqa: BLE001 - nobody waits for it, and it must not end the gateway
                log.bug("ledger.bug", bug)
            await anyio.sleep(EVERY_S)

    async def begin(self) -> bool:
        """A file that an older version began is made one that can get smaller. Raises StoreUnavailable."""
        await self._writer.run(_let_shrink)
        return True

    async def tidy(self) -> int:
        """Move what is over into its days; how many rows. Requests that end meanwhile are written between the steps.

        Raises StoreUnavailable. Cancelled or killed at any moment, each row counts once.
        """
        bounds = self._settings()
        before = None if bounds.keep is None else self._clock.wall() - bounds.keep
        which = await self._writer.run(lambda connection: _going(connection, before, bounds.rows))
        moved = 0
        if which is not None:
            while step := await self._writer.run(lambda connection: _step(connection, which)):
                moved += step
            await self._give_back()
            log.info("ledger.tidied", rows=moved)
        return moved

    async def _give_back(self) -> None:
        """Make the file smaller, by what is free in it."""
        while await self._writer.run(_shrink):
            pass


# Imported in the writer's thread: SQLAlchemy belongs behind the listener.


def _going(connection: Connection, before: float | None, most: int) -> Going | None:
    from hostler.ledger.sums import going

    return going(connection, before, most)


def _step(connection: Connection, which: Going) -> int:
    from hostler.ledger.sums import add_to_days

    return add_to_days(connection, which, STEP)


def _let_shrink(connection: Connection) -> bool:
    from hostler.store.database import let_shrink

    return let_shrink(connection)


def _shrink(connection: Connection) -> int:
    """How many free pages are left; 0 too for a file that cannot get smaller, which uses them again instead."""
    free = _pages(connection)
    cursor = connection.connection.cursor()
    try:
        cursor.execute(f"PRAGMA incremental_vacuum({PAGES})").fetchall()
    finally:
        cursor.close()
    left = _pages(connection)
    return left if left < free else 0


def _pages(connection: Connection) -> int:
    return int(connection.exec_driver_sql("PRAGMA freelist_count").scalar_one())
