"""Tables that fit: which columns a width has room for, and how wide each is. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

import msgspec
from rich.text import Text

from hostler.cli.top.marks import cut

T = TypeVar("T")
GAP = 2


class Column(msgspec.Struct, Generic[T], frozen=True):
    """A column: its heading and what it shows of a row.

    When there is no room the columns with the highest ``rank`` go first; rank 0 always stays. ``least``: it
    may be cut down to so many cells before any column goes.
    """

    name: str
    cell: Callable[[T], str | Text]
    rank: int = 0
    right: bool = False
    least: int | None = None


class Fitted(msgspec.Struct, Generic[T], frozen=True):
    """Columns that have room, each with its width in cells."""

    columns: tuple[Column[T], ...]
    widths: tuple[int, ...]

    def head(self) -> Text:
        """The line of headings."""
        return self._line([Text(column.name) for column in self.columns])

    def row(self, item: T) -> Text:
        """One line."""
        return self._line([_text(column.cell(item)) for column in self.columns])

    def spanning(self, item: T, first: int, rest: Text, width: int) -> Text:
        """A line whose first columns are the table's, and whose rest, up to ``width``, is one text."""
        start = self._line([_text(column.cell(item)) for column in self.columns[:first]])
        line = start.append(" " * GAP).append_text(rest)
        line.truncate(width, overflow="ellipsis")
        return line

    def _line(self, cells: Sequence[Text]) -> Text:
        line = Text(no_wrap=True)
        for column, width, cell in zip(self.columns, self.widths, cells, strict=False):
            if line:
                line.append(" " * GAP)
            shown = cut(cell, min(width, cell.cell_len))
            pad = " " * (width - shown.cell_len)
            line.append(pad).append_text(shown) if column.right else line.append_text(shown).append(pad)
        return line


def fit(columns: Sequence[Column[T]], items: Sequence[T], width: int) -> Fitted[T]:
    """Choose columns and widths for ``items`` in ``width`` cells.

    1. Columns that are empty in every row are left out. 2. Every other is as wide as its widest cell. 3. Too wide:
    columns with ``least`` are cut, the widest first. 4. Still too wide: the last column of the highest rank goes,
    and again. 5. Nothing may go and it is still too wide: everything is cut.
    """
    chosen = [column for column in columns if column.rank == 0 or any(_text(column.cell(item)) for item in items)]
    natural = {column.name: _natural(column, items) for column in chosen}
    while True:
        widths = [natural[column.name] for column in chosen]
        floors = [min(w, w if column.least is None else column.least) for column, w in zip(chosen, widths, strict=True)]
        widths = _cut_down(widths, floors, width)
        droppable = [column for column in chosen if column.rank > 0]
        if _total(widths) <= width:
            return Fitted(tuple(chosen), tuple(widths))
        if not droppable:
            return Fitted(tuple(chosen), tuple(_cut_down(widths, [1] * len(widths), width)))
        chosen.remove(max(reversed(droppable), key=lambda column: column.rank))


def _natural(column: Column[T], items: Sequence[T]) -> int:
    return max([len(column.name), *(_text(column.cell(item)).cell_len for item in items)])


def _cut_down(widths: list[int], floors: Sequence[int], width: int) -> list[int]:
    """``widths`` made smaller, the widest first, until they fit or none is above its floor."""
    widths = list(widths)
    while _total(widths) > width:
        give = max(range(len(widths)), key=lambda i: (widths[i] > floors[i], widths[i]))
        if widths[give] <= floors[give]:
            break
        widths[give] -= 1
    return widths


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + GAP * max(0, len(widths) - 1)


def _text(cell: str | Text) -> Text:
    return Text(cell) if isinstance(cell, str) else cell.copy()
