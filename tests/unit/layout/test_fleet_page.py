"""The page about the fleet names every message and every effect that there is, and no other."""

from __future__ import annotations

import inspect
import re
from typing import get_args

from documents import text

from hostler import events
from hostler.fleet.owner import FleetOwner
from hostler.fleet.scheduling import messages, scheduler

PAGE = text("docs/developer/fleet.md")


def names(heading: str) -> list[str]:
    """The first column of the table that begins with ``heading``."""
    table = PAGE.split(f"| {heading} |", 1)[1].split("\n\n", 1)[0]
    return re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)


def test_every_message_and_effect_is_on_the_page() -> None:
    assert names("message") == [each.__name__ for each in get_args(messages.Message)]
    assert names("effect") == [each.__name__ for each in get_args(messages.Effect)]


def test_the_scheduler_handles_every_message_and_the_owner_every_effect() -> None:
    assert set(scheduler._HANDLERS) == set(get_args(messages.Message))
    carried = set(re.findall(r"case m\.(\w+)\(", inspect.getsource(FleetOwner._carry_out)))
    assert carried == set(names("effect"))


def test_the_events_that_it_names_exist() -> None:
    effects = PAGE.split("| effect |", 1)[1].split("\n\n", 1)[0]
    told = set(re.findall(r"`([A-Z]\w+)`", effects)) - set(names("effect"))
    assert told
    assert all(hasattr(events, name) for name in told)
