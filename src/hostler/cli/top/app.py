"""The window: panels one above the other, keys, actions. What is shown comes from the feed; see `board.py`."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import ClassVar

from rich.text import Text
from textual import on
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Input, Static
from textual.worker import Worker

from hostler.cli.output import listed
from hostler.cli.top.board import Board, Connected, Log, Lost
from hostler.cli.top.choices import Verb, running
from hostler.cli.top.chooser import Choice, Chooser
from hostler.cli.top.details import details, find
from hostler.cli.top.feed import Feed
from hostler.cli.top.frame import panels
from hostler.cli.top.header import header
from hostler.cli.top.heights import heights
from hostler.cli.top.keys import KEYS, footer, help_lines
from hostler.cli.top.marks import BAD, DIM, GOOD
from hostler.cli.top.native import native
from hostler.cli.top.panels.happenings import Happenings
from hostler.cli.top.sheet import Sheet
from hostler.cli.top.window import Window
from hostler.client.gateway import Client
from hostler.errors import HostlerError
from hostler.wire.management import Instance, Pinned, Switched

#: Lines that are no panel's: the first, the notice, the keys.
AROUND = 3
#: The terminal's own colours everywhere.
LOOK = """
Screen { background: ansi_default; color: ansi_default; }
#header, #notice, #keys { height: 1; }
#filter { height: 1; border: none; padding: 0; background: ansi_default; color: ansi_default; display: none; }
Window { width: 100%; height: 1; }
ModalScreen { background: transparent; align: center middle; }
ModalScreen > .box { width: 96%; max-width: 100; height: auto; max-height: 96%; border: round ansi_cyan;
  padding: 0 1; background: ansi_default; }
Chooser.box > Vertical { width: 90%; max-width: 100; height: auto; max-height: 90%; border: round ansi_cyan;
  padding: 0 1; background: ansi_default; }
Chooser.menu { background: ansi_default; }
Chooser.menu > Vertical { width: 100%; height: 100%; padding: 0 1; background: ansi_default; }
Chooser OptionList { border: none; padding: 0; margin: 1 0; height: auto; max-height: 100%; background: ansi_default;
  color: ansi_default; }
Chooser.menu OptionList { height: 1fr; }
Chooser.box OptionList { max-height: 60vh; }
Chooser OptionList > .option-list--option-highlighted { text-style: reverse; background: ansi_default;
  color: ansi_default; }
Chooser Input { height: 1; border: none; padding: 0; background: ansi_default; color: ansi_default; }
Chooser #title, Chooser #hint { height: 1; }
"""
Act = Callable[[Client], Awaitable[str]]


class Top(App[None]):
    """`hostler top`. ``connect`` makes a client of the gateway; with ``menu`` the profiles come first."""

    CSS = LOOK
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+c", "quit", show=False, priority=True),
        Binding("ctrl+z", "suspend_process", show=False),
        *(Binding(key.names, key.action, show=False) for key in KEYS),
    ]

    def __init__(self, connect: Callable[[], Client], *, menu: bool = False) -> None:
        super().__init__(ansi_color=True)
        self._connect = connect
        self._menu = menu
        self._windows = [Window(panel) for panel in panels()]
        self._feed = Feed(connect, self._changed)
        self._gone = False
        self._following: Worker[None] | None = None

    def compose(self) -> ComposeResult:
        """The first line, the panels, one line for what is being done or typed, the keys."""
        yield Static(id="header")
        yield from self._windows
        yield Static(id="notice")
        yield Input(id="filter", placeholder="words to look for; Esc shows all", compact=True)
        yield Static(id="keys")

    def on_mount(self) -> None:
        """Begin to follow the gateway."""
        self.theme = "ansi-dark"
        self._windows[0].focus()
        self.run_worker(self._feed.run(), name="feed")
        # The time since which the gateway is away goes on when nothing else does.
        self.set_interval(1.0, self._draw_header)
        if self._menu:
            self.push_screen(Chooser((), "load", menu=True), self._chosen)
        self._changed(self._feed.board)

    def on_resize(self) -> None:
        """Every line is made for the width."""
        self._changed(self._feed.board)

    def _changed(self, board: Board) -> None:
        """Draw the board; when the gateway goes away, say what to do."""
        if not self.is_mounted(self._windows[-1]):
            return
        for window in self._windows:
            window.show(board)
        around = heights(self.size.height - AROUND, {window.panel.id: window.wanted for window in self._windows})
        for window in self._windows:
            window.styles.height = around[window.panel.id]
        self._tell_link(board)
        self._draw_header()
        self.screen_stack[0].query_one("#keys", Static).update(native(footer(self.size.width)))
        self._renew(board)

    def _renew(self, board: Board) -> None:
        """What lies over the panels shows the board as well."""
        match self.screen:
            case Chooser() as chooser:
                chooser.renew(board.snapshot.profiles if board.snapshot else (), self._away())
            case Sheet() as sheet if sheet.key and (thing := find(board, sheet.key)) is not None:
                sheet.renew(details(board, thing))

    def _tell_link(self, board: Board) -> None:
        gone = isinstance(board.link, Lost)
        if gone != self._gone:
            self._gone = gone
            self.say(board.link.hint if isinstance(board.link, Lost) else "Connected again.", DIM)

    def _draw_header(self) -> None:
        line = header(self._feed.board, time.time(), self.size.width)
        self.screen_stack[0].query_one("#header", Static).update(native(line))

    def _away(self) -> str:
        """Why nothing can be done now; empty when the gateway answers."""
        match self._feed.board.link:
            case Connected():
                return ""
            case Lost():
                return header(self._feed.board, time.time(), self.size.width).plain
        return "Connecting ..."

    def say(self, words: str, style: str = "") -> None:
        """Show one line above the keys until the next."""
        line = Text(" ".join(words.split()), style=style, no_wrap=True, overflow="ellipsis")
        self.screen_stack[0].query_one("#notice", Static).update(native(line))

    def _window(self, name: str) -> Window:
        return next(window for window in self._windows if window.panel.id == name)

    def action_switch(self) -> None:
        """Pick a profile and switch."""
        self._pick("switch")

    def action_load(self) -> None:
        """Pick a profile and load it."""
        self._pick("load")

    def _pick(self, verb: Verb) -> None:
        if away := self._away():
            self.say(away, BAD)
            return
        self._feed.nudge(profiles=True)
        snapshot = self._feed.board.snapshot
        self.push_screen(Chooser(snapshot.profiles if snapshot else (), verb), self._chosen)

    def _chosen(self, choice: Choice | None) -> None:
        """What the menu ended with."""
        if choice is None:
            return
        name = choice.profile.name
        if choice.verb == "switch":
            self._do(f"Switching to {name} ...", lambda client: _told(client.switch(name)))
        elif running(choice.profile):
            self.say(f"{name} is {choice.profile.state} already.")
        else:
            self._do(f"Loading {name} ...", lambda client: _told(client.load(name)))

    def action_unload(self) -> None:
        """Unload the selected instance."""
        if (instance := self._selected()) is not None:
            name = instance.profile
            self._do(f"Unloading {name} ...", lambda client: _told(client.unload(name)))

    def action_pin(self) -> None:
        """Pin the selected instance, or let it make room again."""
        if (instance := self._selected()) is not None:
            name, pinned = instance.profile, instance.pinned
            doing = f"{'Unpinning' if pinned else 'Pinning'} {name} ..."
            self._do(doing, lambda client: _pinned(client.unpin(name) if pinned else client.pin(name)))

    def _selected(self) -> Instance | None:
        """The selected instance; tells when there is none."""
        instance = self._chosen_instance()
        if instance is None:
            self.say("No instance is selected.", DIM)
        return instance

    def action_cancel(self) -> None:
        """Cancel the selected request."""
        snapshot = self._feed.board.snapshot
        wanted = self._window("requests").selected
        if snapshot is None or all(each.id != wanted for each in snapshot.requests.in_flight):
            self.say("No request that waits or runs is selected.", DIM)
            return

        async def cancel(client: Client) -> str:
            return f"{(await client.cancel(wanted)).request} is cancelled."

        self._do(f"Cancelling {wanted} ...", cancel)

    def _do(self, doing: str, act: Act) -> None:
        self.say(doing)
        self.run_worker(self._acted(act))

    async def _acted(self, act: Act) -> None:
        """Ask the gateway on a connection of its own: a load takes as long as it takes."""
        try:
            async with self._connect() as client:
                self.say(await act(client), GOOD)
        except HostlerError as error:
            self.say(str(error), BAD)
        self._feed.nudge()

    def action_log(self) -> None:
        """From events to the selected instance's log, to the gateway's, and back."""
        shown = self._feed.board.log
        instance = self._chosen_instance()
        wanted = _next_log(shown, instance.profile if instance else None)
        if self._following is not None:
            self._following.cancel()
            self._following = None
        self._feed.show_log(wanted)
        self._window("happenings").follow()
        if wanted is not None:
            self._following = self.run_worker(self._feed.follow_log(wanted.profile))

    def _chosen_instance(self) -> Instance | None:
        snapshot = self._feed.board.snapshot
        wanted = self._window("instances").selected
        return next((each for each in snapshot.instances if each.id == wanted), None) if snapshot else None

    def action_pause(self) -> None:
        """Hold events and logs still, or let them go on."""
        window = self._window("happenings")
        window.pause(not window.paused)
        window.show(self._feed.board)

    def action_filter(self) -> None:
        """Type words."""
        field = self.query_one("#filter", Input)
        self.query_one("#notice").display = False
        field.display = True
        field.focus()

    def action_clear(self) -> None:
        """No filter, the newest line in sight."""
        self.query_one("#filter", Input).value = ""
        self._filter("")
        self._typed()

    @on(Input.Changed, "#filter")
    def narrow(self, event: Input.Changed) -> None:
        """Only lines with what is typed."""
        self._filter(event.value)

    @on(Input.Submitted, "#filter")
    def _typed(self) -> None:
        """Back to the panels, with the filter kept."""
        self.query_one("#filter").display = False
        self.query_one("#notice").display = True
        window = self._window("happenings")
        window.follow()
        window.focus()

    def _filter(self, words: str) -> None:
        window = self._window("happenings")
        if isinstance(window.panel, Happenings):
            window.panel.filter = words
        window.pause(False)
        window.show(self._feed.board)

    def action_details(self) -> None:
        """All that is known of the selected row of the panel in use."""
        window = self.focused
        key = window.selected if isinstance(window, Window) else ""
        if key and (thing := find(self._feed.board, key)) is not None:
            self.push_screen(Sheet(details(self._feed.board, thing), key))

    def action_help(self) -> None:
        """Every key."""
        self.push_screen(Sheet(help_lines()))


def _next_log(shown: Log | None, profile: str | None) -> Log | None:
    """1. Events: the profile's log, if there is one. 2. A profile's: the gateway's. 3. The gateway's: events."""
    if shown is None:
        return Log(profile)
    return Log(None) if shown.profile is not None else None


async def _pinned(act: Awaitable[Pinned]) -> str:
    done = await act
    return f"{done.profile} {'is pinned' if done.pinned else 'is not pinned any more'}."


async def _told(act: Awaitable[Switched]) -> str:
    done = await act
    others = [name for name in done.unloaded if name != done.profile]
    return f"{done.profile} is {done.state}{f'; unloaded {listed(others)}' if others else ''}."
