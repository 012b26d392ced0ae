"""A panel on the screen: draws what it shows, scrolls, selects. Knows nothing of what the panel is about."""

from __future__ import annotations

from typing import ClassVar

from rich.text import Text
from textual import events
from textual.binding import Binding, BindingType
from textual.strip import Strip
from textual.widget import Widget

from hostler.cli.top import cursor
from hostler.cli.top.board import Board, Lost
from hostler.cli.top.cursor import View
from hostler.cli.top.frame import heading, rule
from hostler.cli.top.panels.panel import Panel, Shown

MARK = "› "
MARGIN = len(MARK)


class Window(Widget, can_focus=True):
    """Shows one panel. A key of :attr:`selected` names the selected row; empty when there is none."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", show=False),
        Binding("down,j", "move(1)", show=False),
        Binding("pageup", "page(-1)", show=False),
        Binding("pagedown", "page(1)", show=False),
        Binding("home", "move(-1000000)", show=False),
        Binding("end", "move(1000000)", show=False),
    ]

    def __init__(self, panel: Panel) -> None:
        super().__init__(id=panel.id)
        self.panel = panel
        self.paused = False
        self._shown = Shown(panel.id.capitalize(), ())
        self._keys: list[str] = []
        self._view = View()
        self._unseen = 0
        self._stale = False

    @property
    def selected(self) -> str:
        """The id of the selected row."""
        return self._view.selected if self.panel.selects else ""

    @property
    def wanted(self) -> int:
        """Lines that it would take in full."""
        return self._shown.height

    def show(self, board: Board) -> None:
        """Draw the board, dim while it is old news; while paused, only count what is new."""
        self._stale = isinstance(board.link, Lost)
        fresh = self.panel.show(board, max(1, self.size.width - MARGIN))
        if self.paused:
            self._unseen = max(0, len(fresh.rows) - len(self._shown.rows))
        else:
            self._shown = fresh
            self._keys = [row.key for row in fresh.rows]
            self._let_go()
        self._settle()

    def _let_go(self) -> None:
        """Nobody looks here: what is over does not keep the selection, nor what goes on out of sight."""
        past = {row.key for row in self._shown.rows if row.past}
        if self.panel.selects and not self.has_focus and self._view.selected in past:
            self._view = View()

    def pause(self, paused: bool) -> None:
        """Hold the lines still, or let them go on."""
        self.paused, self._unseen = paused, 0

    def follow(self) -> None:
        """See the newest line again."""
        self._view = View()
        self._settle()

    def _settle(self) -> None:
        self._view = cursor.settled(self._view, self._keys, self._room, tail=self.panel.tail)
        self.refresh()

    @property
    def _room(self) -> int:
        return max(0, self.size.height - 1 - (self._shown.head is not None))

    def action_move(self, steps: int) -> None:
        """Select, or scroll."""
        self._view = cursor.moved(self._view, self._keys, self._room, steps, tail=self.panel.tail)
        self.refresh()

    def action_page(self, pages: int) -> None:
        """A page of it."""
        self.action_move(pages * max(1, self._room))

    def on_resize(self) -> None:
        """The first visible line may be another one."""
        self._settle()

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """The wheel."""
        event.stop()
        self.action_move(-1)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """The wheel."""
        event.stop()
        self.action_move(1)

    def on_click(self, event: events.Click) -> None:
        """Select the row under the pointer."""
        row = self._view.top + event.y - (self.size.height - self._room)
        if self.panel.selects and event.y >= self.size.height - self._room and row < len(self._keys):
            self.action_move(row - self._view.at)

    def render_line(self, y: int) -> Strip:
        """One line of the screen."""
        width = self.size.width
        line = self._line(y, width)
        strip = Strip(line.render(self.app.console)) if line else Strip.blank(width)
        return strip.adjust_cell_length(width)

    def _line(self, y: int, width: int) -> Text:
        if y == 0:
            return rule(self._shown.title, width, self._note(), "bold reverse" if self.has_focus else "bold cyan")
        head = self._shown.head is not None
        if y == 1 and head:
            return Text(" " * MARGIN).append_text(heading(self._shown))
        row = self._view.top + y - 1 - head
        return self._row(row, width) if row < len(self._shown.rows) else Text()

    def _row(self, number: int, width: int) -> Text:
        row = self._shown.rows[number]
        chosen = self.panel.selects and row.key != "" and row.key == self._view.selected
        line = Text(MARK if chosen else " " * MARGIN).append_text(row.line)
        if self._stale:
            line.stylize("dim")
        if chosen and self.has_focus:
            line.pad_right(max(0, width - line.cell_len))
            line.stylize("reverse")
        return line

    def _note(self) -> str:
        """What is out of sight."""
        if self.paused:
            return f"paused, {self._unseen} new" if self._unseen else "paused"
        below = len(self._keys) - self._view.top - self._room
        if self._keys and below > 0:
            return f"{below} more below"
        return ""
