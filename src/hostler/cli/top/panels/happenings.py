"""Events, or a log, newest last; only the lines that hold the filter's words."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from typing import TypeVar

import msgspec
from rich.text import Text

from hostler.cli.top.board import KEPT, Board, Log
from hostler.cli.top.marks import BAD, DIM, GOOD, WARN
from hostler.cli.top.panels.panel import Row, Shown, note
from hostler.cli.top.telling import clock, news, tell
from hostler.events import AnyEvent

T = TypeVar("T")
STYLES = {"info": "", "good": GOOD, "warning": WARN, "error": BAD}


class _Made(msgspec.Struct, frozen=True):
    """A line that was made before: what it was made of, itself cut to the width, and its text for the filter."""

    source: object
    row: Row
    text: str


class Happenings:
    """What happened. ``filter`` holds words that must all occur in a line, in any case.

    Thousands of lines are shown anew several times a second: each is made once and kept.
    """

    id = "happenings"
    selects = False
    tail = True

    def __init__(self) -> None:
        self.filter = ""
        self._made: dict[Hashable, _Made] = {}
        self._width = 0

    def show(self, board: Board, width: int) -> Shown:
        """A line an event, or a line of the log that is followed."""
        if width != self._width or len(self._made) > 4 * KEPT:
            self._width, self._made = width, {}
        wanted = self.filter.lower().split()
        made = self._log(board.log) if board.log is not None else self._events(board.events)
        rows = [each.row for each in made if all(word in each.text for word in wanted)]
        nothing = f"Nothing with {self.filter!r} in it." if wanted else "Nothing yet."
        return Shown(self._title(board), tuple(rows) or (note(nothing, width),))

    def _title(self, board: Board) -> str:
        name = "Events"
        if board.log is not None:
            name = "Log of the gateway" if board.log.profile is None else f"Log of {board.log.profile}"
        return f"{name}, with {self.filter!r}" if self.filter else name

    def _events(self, events: tuple[AnyEvent, ...]) -> Iterator[_Made]:
        for event in events:
            if news(event):
                # The number of an event comes again after a restart of the gateway, its time does not.
                yield self._once((event.id, event.at), event, _event)

    def _log(self, log: Log) -> Iterator[_Made]:
        for number, line in enumerate(log.lines, log.before):
            yield self._once((log.profile, number), line, _line)

    def _once(self, key: Hashable, source: T, make: Callable[[T], Text]) -> _Made:
        known = self._made.get(key)
        if known is None or known.source is not source:
            line = make(source)
            text = line.plain.lower()
            line.no_wrap = True
            line.truncate(self._width, overflow="ellipsis")
            known = self._made[key] = _Made(source, Row(str(key), line), text)
        return known


def _event(event: AnyEvent) -> Text:
    told = tell(event)
    line = Text().append(clock(event.at), style=DIM).append("  ")
    if told.who:
        line.append(f"{told.who} ", style="bold")
    return line.append(told.what, style=STYLES[told.level])


def _line(text: str) -> Text:
    return Text(text.replace("\t", " "))
