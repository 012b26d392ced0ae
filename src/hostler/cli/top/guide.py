"""The help on the screen."""

from __future__ import annotations

from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Static

from hostler.cli.top.keys import help_lines
from hostler.cli.top.native import native

SIGNS = (
    "Bars: █ engines of ours, ▒ other processes, ░ free.",
    "MEMORY/PLAN: held and predicted, by device.",
)


class Guide(ModalScreen[None]):
    """Every key and sign; any key goes back."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q,question_mark,enter,space", "dismiss", show=False)]

    def compose(self) -> ComposeResult:
        """One text that scrolls when there is no room."""
        lines = [*help_lines(), Text(), *map(Text, SIGNS), Text("Esc goes back.", style="dim")]
        with VerticalScroll(classes="box"):
            yield Static(native(Text("\n").join(lines)))
