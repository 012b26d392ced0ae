"""What commands do by themselves is in the audit, with who did it to what; what only looks, or fails, is not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli_run import Run

from hostler.testing.gguf_files import write_tiny_gguf


@pytest.fixture
def user(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("LOGNAME", "someone")
    return "someone"


def acts(run: Run) -> list[tuple[str, str, str]]:
    rows = json.loads(run("audit", "--json").stdout)
    assert {(row["via"], row["status"]) for row in rows} <= {("cli", None)}
    return [(row["who"], row["action"], row["target"]) for row in reversed(rows)]


def test_acts_of_commands(run: Run, home: Path, user: str) -> None:
    models = home / "models"
    models.mkdir()
    write_tiny_gguf(models / "tiny.gguf")
    assert run("profile", "new", "small", "--from", "tiny").exit_code == 0
    assert run("profile", "new", "small", "--from", "tiny").exit_code == 1
    assert run("engine", "use", "embedded").exit_code == 0
    assert run("engine", "ls").exit_code == 0
    assert run("key", "new", "laptop").exit_code == 0
    assert run("key", "rm", "laptop").exit_code == 0
    assert run("captures", "clear", "small").exit_code == 0
    assert acts(run) == [
        (user, "new profile", "small"),
        (user, "use build", "embedded"),
        (user, "new key", "laptop"),
        (user, "remove key", "laptop"),
        (user, "clear captures", "small"),
    ]
    shown = run("audit").stdout
    assert "someone" in shown
    assert "use build" in shown
