"""Sums over the ledger, and its rows page by page."""

from __future__ import annotations

import time
from typing import Protocol

import msgspec
import pytest

from hostler.errors import StoreUnavailable
from hostler.ledger.queries import Queries
from hostler.ledger.recorder import Recorder
from hostler.ledger.usage import PAGE
from hostler.wire.management import RequestRecord

pytestmark = pytest.mark.anyio

ROW = RequestRecord(
    id="req-1", at=1_000.0, principal="local", profile="coder", api="chat", status=200, tokens_in=12, tokens_cached=4,
    tokens_out=3, queue_ms=10.0, load_ms=20.0, first_byte_ms=50.0, prompt_ms=16.0, generated_ms=100.0, total_ms=200.0,
    cancelled=False,
)  # fmt: skip


class Ledger(Protocol):
    recorder: Recorder
    queries: Queries


def record(ledger: Ledger, **changes: object) -> None:
    ledger.recorder.record(msgspec.structs.replace(ROW, **changes))


async def test_it_adds_up_by_profile_the_most_used_first(ledger: Ledger) -> None:
    record(ledger, profile="once")
    record(ledger)
    record(ledger, tokens_in=None, tokens_cached=None, tokens_out=None, prompt_ms=None, generated_ms=None, status=502)
    record(ledger, cancelled=True, status=499, first_byte_ms=None, tokens_out=1, at=2_000.0)
    used = await ledger.queries.usage("profile")
    assert [row.name for row in used.rows] == ["coder", "once"]
    coder = used.rows[0]
    assert (coder.requests, coder.failed, coder.cancelled, coder.last_at) == (3, 1, 1, 2_000.0)
    assert (coder.tokens_in, coder.tokens_cached, coder.tokens_out) == (24, 8, 4)
    assert (coder.wait_ms, coder.first_byte_ms) == (30.0, 50.0)
    assert (coder.prompt_tokens_per_s, coder.generated_tokens_per_s) == (500.0, 20.0)
    assert (used.total.name, used.total.requests, used.total.tokens_in) == ("", 4, 36)


async def test_speeds_are_unknown_where_no_engine_told_them(ledger: Ledger) -> None:
    record(ledger, prompt_ms=None, generated_ms=None)
    record(ledger, prompt_ms=0.0, generated_ms=0.0, tokens_out=1)
    (row,) = (await ledger.queries.usage("profile")).rows
    assert (row.prompt_tokens_per_s, row.generated_tokens_per_s) == (None, None)


async def test_by_key_and_by_api(ledger: Ledger) -> None:
    record(ledger, principal="laptop", api="messages")
    record(ledger, principal="laptop")
    record(ledger)
    assert [row.name for row in (await ledger.queries.usage("key")).rows] == ["laptop", "local"]
    assert [row.name for row in (await ledger.queries.usage("api")).rows] == ["chat", "messages"]


async def test_days_are_those_of_this_machines_clock_in_their_order(ledger: Ledger) -> None:
    noon = time.mktime((2026, 11, 20, 12, 0, 0, 0, 0, -1))
    for at in (noon + 86_400, noon, noon - 86_400, noon):
        record(ledger, at=at)
    days = (await ledger.queries.usage("day")).rows
    assert [(day.name, day.requests) for day in days] == [("2026-11-19", 1), ("2026-11-20", 2), ("2026-11-21", 1)]


async def test_bounds_take_the_first_moment_and_not_the_last(ledger: Ledger) -> None:
    for at in (1.0, 2.0, 3.0):
        record(ledger, at=at, id=f"req-{at:g}")
    assert (await ledger.queries.usage("profile", 2.0, 3.0)).total.requests == 1
    assert [row.id async for page in ledger.queries.export(2.0, 3.0) for row in page] == ["req-2"]


async def test_an_empty_ledger_has_a_total_of_nothing(ledger: Ledger) -> None:
    used = await ledger.queries.usage("day")
    assert (used.rows, used.total.requests, used.total.tokens_out, used.total.last_at) == ((), 0, 0, None)
    assert [page async for page in ledger.queries.export()] == []


async def test_every_row_is_exported_once_in_pages(ledger: Ledger) -> None:
    rows = [msgspec.structs.replace(ROW, id=f"req-{number}") for number in range(2 * PAGE + 1)]
    for row in rows:
        ledger.recorder.record(row)
    pages = [page async for page in ledger.queries.export()]
    assert [len(page) for page in pages] == [PAGE, PAGE, 1]
    assert [row for page in pages for row in page] == rows


async def test_without_a_database_it_says_so(blocked: Ledger) -> None:
    with pytest.raises(StoreUnavailable):
        await blocked.queries.usage("profile")
    with pytest.raises(StoreUnavailable):
        await anext(blocked.queries.export())
