"""A gateway that is killed in the middle of writing: what was written stays, whole and in order, and it goes on."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

PATIENCE_S = 60.0
#: Records without end, in steps, so that a kill meets batches in every state.
WRITES = """
import asyncio, sys
from pathlib import Path
from hostler.clock import SystemClock
from hostler.events import Bus
from hostler.ledger.recorder import Recorder
from hostler.store.writer import Writer
from hostler.wire.management import RequestRecord

async def main(path):
    clock = SystemClock()
    writer = Writer(path)
    writer.start()
    recorder = Recorder(writer, Bus(clock), clock, bound=1_000_000)
    number = int(sys.argv[2])
    while True:
        for _ in range(40):
            number += 1
            recorder.record(RequestRecord(
                id=f"req-{number}", at=float(number), principal="local", profile="coder", api="chat", status=200,
                tokens_in=1, tokens_cached=0, tokens_out=1, queue_ms=0.0, load_ms=0.0, first_byte_ms=1.0, total_ms=1.0,
                cancelled=False))
        await asyncio.sleep(0.005)

asyncio.run(main(Path(sys.argv[1])))
"""


@contextmanager
def writing(path: Path, after: int) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-c", WRITES, str(path), str(after)])
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def numbers(path: Path) -> list[int]:
    """Those of the requests that the file holds, in the order of their rows; none while there is no table."""
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
            return [int(at) for (at,) in connection.execute("SELECT at FROM requests ORDER BY row")]
    except sqlite3.OperationalError:
        return []


def until_more_than(path: Path, count: int, process: subprocess.Popen[bytes]) -> int:
    """How many there are once there are more than ``count``."""
    end = time.monotonic() + PATIENCE_S
    while (found := len(numbers(path))) <= count:
        assert process.poll() is None
        assert time.monotonic() < end
        time.sleep(0.01)
    return found


@pytest.mark.parametrize("batches", [0, 2])
def test_what_was_written_survives_a_kill(tmp_path: Path, batches: int) -> None:
    path = tmp_path / "hostler.db"
    seen = 0
    for _ in range(2):  # the second life takes over what the first one left
        with writing(path, seen) as process:
            for _ in range(batches + 1):
                seen = until_more_than(path, seen, process)
            process.send_signal(signal.SIGKILL)
            process.wait()
        kept = numbers(path)
        assert len(kept) >= seen
        assert kept == list(range(1, len(kept) + 1))  # no row is missing, doubled or half there
        with closing(sqlite3.connect(path)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        seen = len(kept)


ROWS = 20_000
#: Fills a ledger with old requests, says so, and moves them into the sums of their days.
TIDIES = f"""
import asyncio, sys
from pathlib import Path
from hostler.clock import SystemClock
from hostler.config.settings import LedgerSettings
from hostler.ledger.recorder import Recorder
from hostler.ledger.retention import Retention
from hostler.events import Bus
from hostler.store.writer import Writer
from hostler.wire.management import RequestRecord

async def main(path):
    clock = SystemClock()
    writer = Writer(path)
    writer.start()
    recorder = Recorder(writer, Bus(clock), clock, bound=1_000_000)
    for number in range({ROWS}):
        recorder.record(RequestRecord(
            id=f"req-{{number}}", at=float(number), principal="local", profile="coder", api="chat", status=200,
            tokens_in=1, tokens_cached=0, tokens_out=1, queue_ms=0.0, load_ms=0.0, first_byte_ms=1.0, total_ms=1.0,
            cancelled=False))
    await recorder.flush()
    await Retention(writer, LedgerSettings, clock).tidy()

asyncio.run(main(Path(sys.argv[1])))
"""


def counted(path: Path) -> tuple[int, int]:
    """Requests that are kept one by one, and those in the sums of days."""
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
            ones = connection.execute("SELECT count(*) FROM requests").fetchone()[0]
            return ones, connection.execute("SELECT coalesce(sum(requests), 0) FROM days").fetchone()[0]
    except sqlite3.OperationalError:
        return 0, 0


def test_each_request_counts_once_when_tidying_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "hostler.db"
    process = subprocess.Popen([sys.executable, "-c", TIDIES, str(path)])
    try:
        end = time.monotonic() + PATIENCE_S
        while counted(path)[1] == 0:
            assert time.monotonic() < end
            time.sleep(0.01)
    finally:
        process.kill()
        process.wait()
    ones, added = counted(path)
    assert ones + added == ROWS
    assert added > 0
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert connection.execute("SELECT sum(tokens_in) FROM days").fetchone() == (added,)
