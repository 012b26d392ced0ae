"""One frame as text: what `hostler top --once` prints. Pure; the window draws the same panels."""

from __future__ import annotations

from collections.abc import Iterator

from rich.text import Text

from hostler.cli.top.board import Board
from hostler.cli.top.header import header
from hostler.cli.top.panels.devices import Devices
from hostler.cli.top.panels.happenings import Happenings
from hostler.cli.top.panels.instances import Instances
from hostler.cli.top.panels.panel import Panel, Shown
from hostler.cli.top.panels.requests import Requests

#: Rows of a panel at the most: a frame is a summary, the lists have commands of their own.
ROWS = 20
NEWEST = 10


def panels() -> tuple[Panel, ...]:
    """Every panel, from top to bottom."""
    return (Instances(), Devices(), Requests(), Happenings())


def frame(board: Board, now: float, width: int) -> Iterator[Text]:
    """The lines of all panels, one below the other."""
    yield header(board, now, width)
    for panel in panels():
        shown = panel.show(board, width)
        yield Text()
        yield rule(shown.title, width)
        yield from _lines(shown, NEWEST if panel.tail else ROWS, tail=panel.tail)


def _lines(shown: Shown, limit: int, *, tail: bool) -> Iterator[Text]:
    if shown.head is not None:
        yield heading(shown)
    rows = shown.rows[-limit:] if tail else shown.rows[:limit]
    yield from (row.line for row in rows)
    if not tail and len(shown.rows) > limit:
        yield Text(f"... {len(shown.rows) - limit} more", style="dim")


def heading(shown: Shown) -> Text:
    """The line of headings, in its style."""
    line = (shown.head or Text()).copy()
    line.stylize("bold")
    return line


def rule(title: str, width: int, note: str = "", style: str = "") -> Text:
    """``── Instances (2) ────────``, with a note at its right end."""
    line = Text("── ", style="dim").append(title, style=style or "bold cyan").append(" ")
    end = f" {note} ──" if note else ""
    line.append("─" * max(0, width - line.cell_len - len(end)), style="dim").append(end, style="dim")
    line.truncate(width, overflow="ellipsis")
    return line
