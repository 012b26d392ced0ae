"""A ledger on a real SQLite file."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from hostler.clock import ManualClock
from hostler.events import Bus
from hostler.ledger.queries import Queries
from hostler.ledger.recorder import Recorder
from hostler.store.writer import Writer


class Ledger:
    """Everything a test of the ledger needs, in one place."""

    def __init__(self, path: Path, *, bound: int = 5_000) -> None:
        self.clock = ManualClock()
        self.bus = Bus(self.clock)
        self.writer = Writer(path, retry_s=0)
        self.recorder = Recorder(self.writer, self.bus, self.clock, bound=bound)
        self.queries = Queries(self.writer, self.recorder)


@pytest.fixture
async def ledger(home: Path, anyio_backend: str) -> AsyncIterator[Ledger]:
    made = Ledger(home / "state" / "hostler.db")
    made.writer.start()
    yield made
    await made.recorder.close()
    await made.writer.close()


@pytest.fixture
async def blocked(home: Path, anyio_backend: str) -> AsyncIterator[Ledger]:
    """A ledger whose state folder cannot be made, because a file is in its place."""
    (home / "state").write_text("in the way")
    made = Ledger(home / "state" / "hostler.db", bound=10)
    made.writer.start()
    yield made
    await made.recorder.close()
    await made.writer.close()
