"""The menu of profiles on the screen: as the first screen of `hostler`, and as a box for the keys m and l."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import msgspec
from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from hostler.cli.top.choices import Entry, GroupEntry, Verb, entries, label
from hostler.cli.top.native import native
from hostler.wire.management import ProfileInfo

ASIDE = 6


class Choice(msgspec.Struct, frozen=True):
    """What was chosen, and what to do with it."""

    profile: ProfileInfo
    verb: Verb


class Chooser(ModalScreen[Choice | None]):
    """Offers profiles; ends with a choice, or with None when the user goes back from the top.

    ``verb`` is what Enter means. As a ``menu`` it fills the screen and `s` switches.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,left", "back", show=False),
        Binding("right", "open", show=False),
        Binding("slash", "find", show=False),
        Binding("s", "switch", show=False),
        Binding("d", "dismiss", show=False),
        Binding("q", "leave", show=False),
    ]

    def __init__(self, profiles: Sequence[ProfileInfo], verb: Verb, *, menu: bool = False) -> None:
        super().__init__(classes="menu" if menu else "box")
        self._profiles = tuple(profiles)
        self._verb: Verb = verb
        self._menu = menu
        self._group = ""
        self._words = ""
        self._away = ""
        self._entries: list[Entry] = []
        self._open = False

    def compose(self) -> ComposeResult:
        """Title, list, filter, keys."""
        with Vertical():
            yield Static(id="title")
            yield OptionList(id="profiles", compact=True)
            yield Input(id="find", placeholder="words of a name", compact=True)
            yield Static(id="hint")

    def on_mount(self) -> None:
        """Fill it; before this there is nothing to fill."""
        self._open = True
        self.query_one("#find").display = False
        self.query_one(OptionList).focus()
        self._fill()

    def renew(self, profiles: Sequence[ProfileInfo], away: str) -> None:
        """Profiles as they are now; while the gateway is ``away`` nothing is offered."""
        if (tuple(profiles), away) != (self._profiles, self._away):
            self._profiles, self._away = tuple(profiles), away
            self._fill()

    def _fill(self) -> None:
        if not self._open:
            return
        listed = self.query_one(OptionList)
        before = listed.highlighted
        self._entries = [] if self._away else entries(self._profiles, self._group, self._words)
        width = max(20, listed.size.width or self.app.size.width - ASIDE)
        listed.clear_options()
        listed.add_options(
            Option(native(label(entry, width)), disabled=bool(getattr(entry, "refusal", ""))) for entry in self._entries
        )
        if self._entries:
            listed.highlighted = min(before or 0, len(self._entries) - 1)
        self.query_one("#title", Static).update(native(self._title()))
        self.query_one("#hint", Static).update(native(self._hint()))

    def _title(self) -> Text:
        if self._away:
            return Text(self._away, style="bold yellow")
        title = "Profiles" if self._menu else f"{self._verb.capitalize()} which profile?"
        where = f" › {self._group}" if self._group and not self._words else ""
        return Text(f"{title}{where}", style="bold")

    def _hint(self) -> Text:
        if not self._entries and not self._away:
            return Text("Nothing here. `hostler starters fetch smollm2` fetches a small model.", style="dim")
        keys = [("Enter", self._verb), *([("s", "switch to it alone"), ("d", "dashboard")] if self._menu else [])]
        last = ("Esc", "back") if self._group or not self._menu else ("q", "quit")
        line = Text()
        for key, words in (*keys, ("/", "find"), last):
            line.append(f"{key} ", style="bold cyan").append(f"{words}   ")
        return line

    def on_resize(self) -> None:
        """Lines are cut to the width."""
        self._fill()

    @on(OptionList.OptionSelected)
    def choose(self, event: OptionList.OptionSelected) -> None:
        """Enter on an entry."""
        self._take(event.option_index, self._verb)

    def action_switch(self) -> None:
        """Switch to the highlighted profile."""
        if (at := self.query_one(OptionList).highlighted) is not None and self._menu:
            self._take(at, "switch")

    def action_open(self) -> None:
        """Open the highlighted group."""
        at = self.query_one(OptionList).highlighted
        if at is not None and isinstance(self._entries[at], GroupEntry):
            self._take(at, self._verb)

    def _take(self, at: int, verb: Verb) -> None:
        entry = self._entries[at]
        if isinstance(entry, GroupEntry):
            self._go(entry.name)
        elif not entry.refusal:
            self.dismiss(Choice(entry.profile, verb))

    def _go(self, group: str) -> None:
        self._group = group
        self.query_one(OptionList).highlighted = None
        self._fill()

    def action_find(self) -> None:
        """Type words of a name."""
        field = self.query_one(Input)
        field.display = True
        field.focus()

    @on(Input.Changed)
    def narrow(self, event: Input.Changed) -> None:
        """Only what has the words."""
        self._words = event.value
        self._fill()

    @on(Input.Submitted)
    def found(self) -> None:
        """To the list, with the filter kept."""
        self.query_one(OptionList).focus()

    def action_back(self) -> None:
        """1. Drop the filter. 2. Leave the group. 3. Leave the menu."""
        field = self.query_one(Input)
        if field.display:
            field.value = ""
            field.display = False
            self.query_one(OptionList).focus()
        elif self._group:
            self._go("")
        elif not self._menu:
            self.dismiss(None)

    def action_leave(self) -> None:
        """Out of the program from the menu, else out of the box."""
        if self._menu:
            self.app.exit()
        else:
            self.dismiss(None)
