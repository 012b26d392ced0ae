"""What cannot be written is told once when it begins, and once when it is over."""

from __future__ import annotations

from hostler.events import Bus, StateUnwritable
from hostler.store.watching import Unwritable


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
