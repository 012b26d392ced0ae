"""Events, or a log, newest last; only the lines that hold the filter's words."""

from __future__ import annotations

from rich.text import Text

from hostler.cli.top.board import Board
from hostler.cli.top.marks import BAD, DIM, GOOD, WARN
from hostler.cli.top.panels.panel import Row, Shown, note
from hostler.cli.top.telling import clock, news, tell
from hostler.events import AnyEvent

STYLES = {"info": "", "good": GOOD, "warning": WARN, "error": BAD}


class Happenings:
    """What happened. ``filter`` holds words that must all occur in a line, in any case."""

    id = "happenings"
    selects = False
    tail = True

    def __init__(self) -> None:
        self.filter = ""

    def show(self, board: Board, width: int) -> Shown:
        """A line an event, or a line of the log that is followed."""
        lines = _log(board) if board.log is not None else _events(board.events)
        wanted = self.filter.lower().split()
        rows = [_row(key, line, width) for key, line in lines if all(word in line.plain.lower() for word in wanted)]
        nothing = f"Nothing with {self.filter!r} in it." if wanted else "Nothing yet."
        return Shown(self._title(board), tuple(rows) or (note(nothing, width),))

    def _title(self, board: Board) -> str:
        name = "Events"
        if board.log is not None:
            name = "Log of the gateway" if board.log.profile is None else f"Log of {board.log.profile}"
        return f"{name}, with {self.filter!r}" if self.filter else name


def _events(events: tuple[AnyEvent, ...]) -> list[tuple[str, Text]]:
    return [(str(event.id), line) for event in events if news(event) and (line := _event(event)) is not None]


def _event(event: AnyEvent) -> Text | None:
    told = tell(event)
    if told is None:
        return None
    line = Text(clock(event.at), style=DIM, no_wrap=True).append("  ")
    line = Text().append_text(line)
    if told.who:
        line.append(f"{told.who} ", style="bold")
    return line.append(told.what, style=STYLES[told.level])


def _log(board: Board) -> list[tuple[str, Text]]:
    lines = board.log.lines if board.log else ()
    return [(str(number), Text(line.replace("\t", " "))) for number, line in enumerate(lines)]


def _row(key: str, line: Text, width: int) -> Row:
    line.no_wrap = True
    line.truncate(width, overflow="ellipsis")
    return Row(key, line)
