"""`hostler captures`: reading and removing what was kept, without a gateway."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
from cli_run import Run

from hostler.ledger.captures import FOLDER, Capture

CAPTURE = Capture(
    id="req-1", at=1_000.0, principal="local", profile="coder", api="chat", status=200, asked='{"model":"coder"}',
    answered="The sea.", cut=True,
)  # fmt: skip


@pytest.fixture
def two(home: Path) -> None:
    folder = home / "state" / FOLDER
    folder.mkdir(parents=True)
    for each in (CAPTURE, msgspec.structs.replace(CAPTURE, id="req-2", profile="other", cut=False)):
        (folder / f"1-{each.id}.json").write_bytes(msgspec.json.encode(each))


@pytest.mark.usefixtures("two")
def test_listing_and_showing(run: Run) -> None:
    rows = run("captures", "ls").stdout.splitlines()
    assert [row.split()[0] for row in rows] == ["ID", "req-1", "req-2"]
    assert [each["id"] for each in json.loads(run("captures", "ls", "other", "--json").stdout)] == ["req-2"]
    shown = run("captures", "show", "req-1")
    assert shown.stdout == '{"model":"coder"}\n\nThe sea.\n'
    assert "Not all" in shown.stderr
    assert msgspec.json.decode(run("captures", "show", "req-1", "--json").stdout, type=Capture) == CAPTURE
    assert run("captures", "show", "req-9").exit_code == 1


@pytest.mark.usefixtures("two")
def test_clearing(run: Run) -> None:
    assert run("captures", "clear", "coder").stdout == "Captures removed: 1.\n"
    assert json.loads(run("captures", "clear", "--json").stdout) == {"captures": 1}
    assert "capture = true" in run("captures", "ls").stdout
