"""A page of text in a box: the help, and the details of what is selected."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Static

from hostler.cli.top.native import native


class Sheet(ModalScreen[None]):
    """Shows lines, which scroll when there is no room. ``key`` names what they are about; empty for the help."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,question_mark,enter,space", "dismiss", show=False),
    ]

    def __init__(self, lines: Iterable[Text], key: str = "") -> None:
        super().__init__()
        self.key = key
        self._text = Static(_page(lines))

    def compose(self) -> ComposeResult:
        """One text."""
        with VerticalScroll(classes="box"):
            yield self._text

    def renew(self, lines: Iterable[Text]) -> None:
        """Show these lines instead."""
        self._text.update(_page(lines))


def _page(lines: Iterable[Text]) -> Text:
    return native(Text("\n").join([*lines, Text(), Text("Esc goes back.", style="dim")]))
