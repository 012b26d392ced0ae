"""`hostler usage`: sums as people and programs read them, and every request."""

from __future__ import annotations

import json
import time
from datetime import datetime

import msgspec
import pytest
from cli_run import Run
from fake_gateway import FakeGateway

from hostler.wire.usage import Usage


def test_a_table_with_a_total(gateway: FakeGateway, run: Run) -> None:
    head, *rows = [line.split("  ") for line in run("usage").stdout.splitlines()]
    assert head[0] == "PROFILE"
    assert [row[0] for row in rows] == ["smollm2", "gemma3-270m", "total"]
    assert [cell.strip() for cell in rows[0][1:] if cell.strip()] == [
        "7", "1", "12,345", "10", "60", "1.2 s", "-", "1410", "8.2",
    ]  # fmt: skip


def test_for_programs_and_spreadsheets(gateway: FakeGateway, run: Run) -> None:
    assert msgspec.json.decode(run("usage", "--json").stdout, type=Usage) == gateway.usage
    head, first, _ = run("usage", "--by", "day", "--csv").stdout.splitlines()
    assert head.startswith("day,requests,failed,cancelled,tokens_in")
    assert first == "smollm2,7,1,2,12345,10,60,1200.4,,1410.2,8.25,1.0"


def test_every_request(gateway: FakeGateway, run: Run) -> None:
    assert run("usage", "--rows", "--csv").stdout == "id,at\nreq-8,1.0\n"
    assert json.loads(run("usage", "--rows").stdout) == {"id": "req-8"}


def test_nothing_yet(gateway: FakeGateway, run: Run) -> None:
    empty = msgspec.structs.replace(gateway.usage.total, requests=0)
    gateway.usage = msgspec.structs.replace(gateway.usage, rows=(), total=empty)
    assert run("usage").stdout == "No request has ended in that time.\n"


def test_since_when(gateway: FakeGateway, run: Run) -> None:
    run("usage", "--since", "7d", "--until", "2026-11-01")
    ((since, until),) = gateway.bounds
    assert since is not None
    assert until is not None
    assert abs(time.time() - 7 * 86_400 - float(since)) < 60
    assert datetime.fromtimestamp(float(until)) == datetime(2026, 11, 1)


@pytest.mark.parametrize("when", ["yesterday", "7 parsecs", "2026-13-01"])
def test_what_is_no_moment(gateway: FakeGateway, run: Run, when: str) -> None:
    done = run("usage", "--since", when)
    assert done.exit_code == 2
    assert "is no moment" in done.stderr
    assert gateway.asked == []
