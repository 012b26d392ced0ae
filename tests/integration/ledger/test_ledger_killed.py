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
