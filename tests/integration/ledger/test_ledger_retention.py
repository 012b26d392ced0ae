"""What the ledger no longer keeps one by one: its sums stay, its space is given back, and nothing waits for it."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Protocol, get_args

import anyio
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection

from hostler.clock import ManualClock
from hostler.config.quantities import Seconds
from hostler.config.settings import LedgerSettings
from hostler.errors import StoreUnavailable
from hostler.ledger import recorder, retention, sums
from hostler.ledger.queries import Queries
from hostler.ledger.recorder import Recorder
from hostler.ledger.retention import Retention
from hostler.ledger.usage import usage
from hostler.store import database
from hostler.store.writer import Writer
from hostler.wire.management import RequestRecord
from hostler.wire.usage import By, Usage

pytestmark = pytest.mark.anyio

DAY = 86_400.0
ROW = RequestRecord(
    id="req-1", at=0.0, principal="local", profile="coder", api="chat", status=200, tokens_in=12, tokens_cached=4,
    tokens_out=3, queue_ms=10.0, load_ms=20.0, first_byte_ms=50.0, prompt_ms=16.0, generated_ms=100.0, total_ms=200.0,
    cancelled=False,
)  # fmt: skip

maybe = st.none() | st.integers(0, 50)
rows = st.builds(
    RequestRecord,
    id=st.just("req-1"),
    at=st.integers(0, 5 * int(DAY)).map(float),
    principal=st.sampled_from(["local", "laptop"]),
    profile=st.sampled_from(["a", "b"]),
    api=st.sampled_from(["chat", "messages"]),
    status=st.sampled_from([200, 404, 502]),
    tokens_in=maybe,
    tokens_cached=maybe,
    tokens_out=maybe,
    queue_ms=st.integers(0, 9).map(float),
    load_ms=st.integers(0, 9).map(float),
    first_byte_ms=maybe.map(lambda value: None if value is None else float(value)),
    prompt_ms=maybe.map(lambda value: None if value is None else float(value)),
    generated_ms=maybe.map(lambda value: None if value is None else float(value)),
    total_ms=st.just(1.0),
    cancelled=st.booleans(),
)


class Ledger(Protocol):
    clock: ManualClock
    writer: Writer
    recorder: Recorder
    queries: Queries


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[Connection]:
    made = database.connect(tmp_path / "hostler.db")
    yield made
    database.close(made)


def everything(connection: Connection) -> dict[str, Usage]:
    return {by: usage(connection, by, None, None) for by in get_args(By)}


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    kept=st.lists(rows, min_size=1, max_size=12), order=st.lists(st.integers(0, 12), max_size=3), step=st.integers(1, 5)
)
def test_whatever_is_moved_into_days_adds_up_as_before(
    connection: Connection, kept: list[RequestRecord], order: list[int], step: int
) -> None:
    with connection.begin() as transaction:
        recorder._insert(connection, kept)
        before = everything(connection)
        for last in sorted(order):
            while sums.add_to_days(connection, sums.Going(last, over=last), step):
                assert everything(connection) == before
        transaction.rollback()


async def filled(ledger: Ledger, count: int) -> None:
    """A request a day, the newest now."""
    for number in range(count):
        at = ledger.clock.wall() - (count - 1 - number) * DAY
        ledger.recorder.record(msgspec.structs.replace(ROW, id=f"req-{number}", at=at))
    await ledger.recorder.flush()


def bounded(ledger: Ledger, **bounds: object) -> Retention:
    return Retention(ledger.writer, lambda: LedgerSettings(**bounds), ledger.clock)  # type: ignore[arg-type]


async def names(ledger: Ledger) -> list[str]:
    return [row.id async for page in ledger.queries.export() for row in page]


async def test_what_is_too_old_or_too_much_goes_and_its_days_stay(ledger: Ledger) -> None:
    await filled(ledger, 10)
    assert await bounded(ledger).tidy() == 0
    assert await bounded(ledger, keep=Seconds(7.5 * DAY)).tidy() == 2
    assert await names(ledger) == [f"req-{number}" for number in range(2, 10)]
    assert await bounded(ledger, keep=None, rows=3).tidy() == 5
    assert await names(ledger) == ["req-7", "req-8", "req-9"]
    days = (await ledger.queries.usage("day")).rows
    assert [day.requests for day in days] == [1] * 10
    (coder,) = (await ledger.queries.usage("profile")).rows
    assert (coder.requests, coder.tokens_in, coder.wait_ms, coder.generated_tokens_per_s) == (10, 120, 30.0, 20.0)
    since = ledger.clock.wall() - 4.5 * DAY
    assert (await ledger.queries.usage("key", since)).total.requests == 5


async def test_a_clock_that_was_wrong_for_a_while_takes_no_others_along(ledger: Ledger) -> None:
    """A board without a battery began in 1970: all that had ended before went with its first request."""
    await filled(ledger, 3)
    for number, at in enumerate((5.0, ledger.clock.wall() + 1000 * DAY)):
        ledger.recorder.record(msgspec.structs.replace(ROW, id=f"wrong-{number}", at=at))
    await ledger.recorder.flush()
    assert await bounded(ledger, keep=Seconds(1.5 * DAY)).tidy() == 2
    assert await names(ledger) == ["req-1", "req-2", "wrong-1"]
    assert (await ledger.queries.usage("profile")).total.requests == 5
    assert await bounded(ledger, keep=Seconds(1.5 * DAY), rows=2).tidy() == 1
    assert await names(ledger) == ["req-2", "wrong-1"]


async def test_requests_are_written_while_it_goes_on_and_space_is_given_back(ledger: Ledger) -> None:
    old = 3 * retention.STEP
    for number in range(old):
        ledger.recorder.record(msgspec.structs.replace(ROW, id=f"req-{number}-{'x' * 200}", at=float(number)))
    await ledger.recorder.flush()
    between: list[int] = []

    async def writing() -> None:
        """Only as quickly as the steps let it."""
        while True:
            between.append(
                await ledger.writer.run(lambda c: c.exec_driver_sql("SELECT count(*) FROM requests").scalar_one())
            )

    size = await held(ledger)
    async with anyio.create_task_group() as group:
        group.start_soon(writing)
        assert await bounded(ledger).tidy() == old
        group.cancel_scope.cancel()
    assert len(set(between) & {old - retention.STEP, old - 2 * retention.STEP}) == 2
    assert await held(ledger) < size / 4


async def held(ledger: Ledger) -> int:
    """Pages of the file."""
    return await ledger.writer.run(lambda c: int(c.exec_driver_sql("PRAGMA page_count").scalar_one()))


async def of_before(ledger: Ledger, unused: int = 2**20, used: int = 0) -> Path:
    """The ledger's file, closed, as an older version would have left it, with so many bytes in it."""
    await filled(ledger, 1)
    await ledger.recorder.close()
    await ledger.writer.close()
    path = ledger.writer.path
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript("DROP TABLE days; UPDATE alembic_version SET version_num = '0002'")
        connection.execute("PRAGMA auto_vacuum=NONE")
        connection.execute("VACUUM")
        connection.executescript(f"CREATE TABLE gone AS SELECT zeroblob({unused}) AS bytes; DROP TABLE gone")
        connection.executescript(f"CREATE TABLE more AS SELECT zeroblob({used}) AS bytes")
    return path


@asynccontextmanager
async def opened(path: Path) -> AsyncIterator[Writer]:
    writer = Writer(path)
    writer.start()
    yield writer
    await writer.close()


def later(ledger: Ledger, writer: Writer) -> Retention:
    """What keeps no request."""
    return Retention(writer, lambda: LedgerSettings(keep=Seconds(0)), ManualClock(wall=ledger.clock.wall() + 1))


async def test_a_file_of_before_takes_part(ledger: Ledger) -> None:
    path = await of_before(ledger)
    before = path.stat().st_size
    assert before > 2**20
    async with opened(path) as writer:
        assert await writer.run(database.let_shrink)
        assert not await writer.run(database.let_shrink)
        assert await later(ledger, writer).begin()
        assert await later(ledger, writer).tidy() == 1
    assert path.stat().st_size < before / 4


async def test_a_file_that_cannot_be_made_anew_now_serves_as_it_is(ledger: Ledger) -> None:
    """It was told to be unwritable once an hour, and nothing was ever tidied away."""
    path = await of_before(ledger)
    async with opened(path) as writer:
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            await writer.run(lambda connection: connection.exec_driver_sql("PRAGMA busy_timeout=0"))
            other.execute("BEGIN IMMEDIATE")
            assert await later(ledger, writer).begin()
        assert writer.problem == ""
        assert await later(ledger, writer).tidy() == 1


async def test_its_log_does_not_stay_as_large_as_the_file(ledger: Ledger) -> None:
    path = await of_before(ledger, used=2 * database.LOG_BYTES)
    async with opened(path) as writer:
        assert await writer.run(database.let_shrink)
        assert await later(ledger, writer).tidy() == 1
        assert path.with_name(f"{path.name}-wal").stat().st_size <= database.LOG_BYTES


async def test_without_a_database_it_says_so(blocked: Ledger) -> None:
    with pytest.raises(StoreUnavailable):
        await bounded(blocked).tidy()
