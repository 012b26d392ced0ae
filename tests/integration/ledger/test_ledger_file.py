"""Recorder and queries on a real file: batches, bounds, and life without a database."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import anyio
import anyio.lowlevel
import pytest
from sqlalchemy import Connection

from hostler.clock import ManualClock
from hostler.errors import StoreUnavailable
from hostler.events import Bus, LedgerDropped
from hostler.ledger.queries import Queries
from hostler.ledger.recorder import BATCH, Recorder
from hostler.store.writer import Writer
from hostler.wire.management import RequestRecord

pytestmark = pytest.mark.anyio


class Ledger(Protocol):
    clock: ManualClock
    bus: Bus
    writer: Writer
    recorder: Recorder
    queries: Queries


def row(number: int, profile: str = "coder") -> RequestRecord:
    return RequestRecord(
        id=f"req-{number}",
        at=1_000.0 + number,
        principal="local",
        profile=profile,
        api="openai.chat",
        status=200,
        tokens_in=12,
        tokens_cached=None,
        tokens_out=number,
        queue_ms=0.5,
        load_ms=0,
        first_byte_ms=20.25,
        total_ms=100,
        cancelled=number % 2 == 1,
    )


async def test_what_is_recorded_is_read_back(ledger: Ledger) -> None:
    rows = [row(number) for number in range(5)]
    for each in rows:
        ledger.recorder.record(each)
    assert await ledger.queries.recent() == tuple(reversed(rows))
    assert await ledger.queries.recent(limit=2) == (rows[4], rows[3])
    assert await ledger.queries.recent(limit=2, until=rows[3].at) == (rows[2], rows[1])


async def test_recent_of_one_profile(ledger: Ledger) -> None:
    ledger.recorder.record(row(1, "a"))
    ledger.recorder.record(row(2, "b"))
    assert [each.id for each in await ledger.queries.recent(profile="a")] == ["req-1"]


async def test_a_full_batch_is_written_without_being_asked(ledger: Ledger) -> None:
    rows = [row(number) for number in range(BATCH + 1)]
    for each in rows[:BATCH]:
        ledger.recorder.record(each)
    with anyio.fail_after(20):
        while ledger.recorder.waiting():
            await ledger.writer.run(lambda connection: None)
    ledger.recorder.record(rows[BATCH])  # one more than statements of many rows write
    assert await ledger.queries.recent(limit=2 * BATCH) == tuple(reversed(rows))


async def test_what_comes_during_a_write_waits_for_the_next_one(ledger: Ledger) -> None:
    """Or a busy gateway would write a row or two at a time, and wait for the disk each time."""
    recorder = ledger.recorder
    for number in range(BATCH):
        recorder.record(row(number))
    with anyio.fail_after(20):
        while recorder.waiting():
            await anyio.lowlevel.checkpoint()  # until the write begins
        recorder.record(row(BATCH))
        while len(await ledger.writer.run(_rows)) < BATCH:
            pass
    assert [each.id for each in recorder.waiting()] == [f"req-{BATCH}"]
    assert (await ledger.queries.recent(limit=1))[0].id == f"req-{BATCH}"


def _rows(connection: Connection) -> Sequence[object]:
    return connection.exec_driver_sql("SELECT id FROM requests").all()


async def test_rows_survive_a_restart(ledger: Ledger) -> None:
    ledger.recorder.record(row(1))
    await ledger.recorder.close()
    await ledger.writer.close()
    writer = Writer(ledger.writer.path)
    writer.start()
    recorder = Recorder(writer, ledger.bus, ledger.clock)
    assert await Queries(writer, recorder).recent() == (row(1),)
    await writer.close()
    with pytest.raises(StoreUnavailable):
        await writer.run(lambda connection: None)


async def test_without_a_database_rows_wait_then_drop_and_say_so(blocked: Ledger) -> None:
    for number in range(25):
        blocked.recorder.record(row(number))
    assert blocked.recorder.dropped == 15
    with pytest.raises(StoreUnavailable):
        await blocked.recorder.flush()
    assert [each.id for each in await blocked.queries.recent(limit=2)] == ["req-24", "req-23"]
    told = [event for event in blocked.bus.since(0) if isinstance(event, LedgerDropped)]
    assert [event.total for event in told] == [1]
    blocked.clock.advance(11)
    blocked.recorder.record(row(99))
    told = [event for event in blocked.bus.since(0) if isinstance(event, LedgerDropped)]
    assert [event.total for event in told] == [1, 16]


async def test_the_database_comes_back(blocked: Ledger, home: Path) -> None:
    blocked.recorder.record(row(1))
    with pytest.raises(StoreUnavailable):
        await blocked.recorder.flush()
    (home / "state").unlink()
    await blocked.recorder.flush()
    assert await blocked.queries.recent() == (row(1),)
    assert blocked.recorder.dropped == 0


async def test_closing_without_a_database_counts_what_is_lost(blocked: Ledger) -> None:
    blocked.recorder.record(row(1))
    blocked.recorder.record(row(2))
    await blocked.recorder.close()
    assert blocked.recorder.dropped == 2
