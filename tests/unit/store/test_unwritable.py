"""What cannot be written is told once when it begins, and once when it is over."""

from __future__ import annotations

from pathlib import Path

import pytest

from hostler.accounts.audit import Audit, by_command
from hostler.events import Bus, StateUnwritable
from hostler.ledger.captures import Captures
from hostler.store.watching import Unwritable, trouble_in


def test_it_is_told_when_it_begins_and_when_it_is_over() -> None:
    bus, said = Bus(), {"ledger": "", "log": ""}
    watched = Unwritable({"ledger": lambda: said["ledger"], "log": lambda: said["log"]}, bus)

    def told() -> list[tuple[str, bool, str]]:
        watched.look()
        watched.look()
        return [(e.part, e.active, e.reason) for e in bus.since(0) if isinstance(e, StateUnwritable)]

    assert told() == []
    assert watched.now() == {}
    said["ledger"] = "the disk is full"
    assert told() == [("ledger", True, "the disk is full")]
    assert watched.now() == {"ledger": "the disk is full"}
    said |= {"ledger": "still full", "log": "no space"}
    assert told()[1:] == [("log", True, "no space")]
    said["ledger"] = ""
    assert told()[2:] == [("ledger", False, "")]
    assert watched.now() == {"log": "no space"}


@pytest.mark.anyio
async def test_what_can_be_written_again_is_told_before_anything_is(tmp_path: Path) -> None:
    folder, bus = tmp_path / "state", Bus()
    folder.write_text("in the way")
    audit, captures = Audit(folder / "audit.jsonl"), Captures(folder / "captures")
    audit.write(by_command("load", "tiny"))
    captures.problem = trouble_in(folder / "captures")
    watched = Unwritable(
        {"audit": lambda: audit.problem, "captures": lambda: captures.problem},
        bus,
        {"audit": audit.try_again, "captures": captures.try_again},
    )
    await watched.try_again()
    watched.look()
    assert watched.now().keys() == {"audit", "captures"}
    folder.unlink()
    await watched.try_again()
    watched.look()
    assert watched.now() == {}
    assert [e.active for e in bus.since(0) if isinstance(e, StateUnwritable)] == [True, True, False, False]
    assert audit.recent() == []
    assert [path.name for path in (folder / "captures").iterdir()] == []
