"""The recorder's bound, without a database: recording never waits, and what is lost is counted."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostler.clock import ManualClock
from hostler.events import Bus
from hostler.ledger.recorder import Recorder
from hostler.store.writer import Writer
from hostler.wire.management import RequestRecord

pytestmark = pytest.mark.anyio


def row(number: int) -> RequestRecord:
    return RequestRecord(
        id=str(number),
        at=float(number),
        principal="local",
        profile="p",
        api="openai.chat",
        status=200,
        tokens_in=None,
        tokens_cached=None,
        tokens_out=None,
        queue_ms=0,
        load_ms=0,
        first_byte_ms=None,
        total_ms=0,
        cancelled=False,
    )


@given(count=st.integers(0, 60), bound=st.integers(1, 40))
async def test_the_newest_rows_are_kept_and_the_rest_counted(count: int, bound: int) -> None:
    clock = ManualClock()
    recorder = Recorder(Writer(Path("unused")), Bus(clock), clock, bound=bound)
    for number in range(count):
        recorder.record(row(number))
    kept = [each.id for each in recorder.waiting()]
    assert kept == [str(number) for number in range(max(0, count - bound), count)]
    assert recorder.dropped == count - len(kept)
    await recorder.close()
    assert recorder.dropped == count
