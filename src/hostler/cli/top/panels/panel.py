"""What a panel is: from the board to a title and lines. Pure; the window draws, scrolls and selects."""

from __future__ import annotations

from typing import Protocol

import msgspec
from rich.text import Text

from hostler.cli.top.board import Board


class Row(msgspec.Struct, frozen=True):
    """One line, and the id of what it shows; empty when it is nothing that can be chosen.

    ``past``: what it shows is over; the selection stays on it only while somebody looks at it.
    """

    key: str
    line: Text
    past: bool = False


class Shown(msgspec.Struct, frozen=True):
    """A panel's title and its lines; ``head`` stays when the rows scroll."""

    title: str
    rows: tuple[Row, ...]
    head: Text | None = None

    @property
    def height(self) -> int:
        """Lines it would take in full, its title among them."""
        return 1 + (self.head is not None) + len(self.rows)


class Panel(Protocol):
    """One part of the window; add one as a file in this folder, to the list in `frame.py` and to `heights.py`.

    ``id`` is its name in the layout. ``selects``: its rows can be chosen. ``tail``: the newest row is the
    last, and is the one to see.
    """

    id: str
    selects: bool
    tail: bool

    def show(self, board: Board, width: int) -> Shown:
        """What to show in ``width`` cells; every line fits."""
        ...


def note(text: str, width: int) -> Row:
    """A dim line in place of rows."""
    line = Text(text, style="dim", no_wrap=True)
    line.truncate(width, overflow="ellipsis")
    return Row("", line)
