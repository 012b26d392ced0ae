"""The keys of the window: the one table that bindings, the last line and the help are made from. Pure."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
from rich.text import Text


class Key(msgspec.Struct, frozen=True):
    """A key: its names (Textual's, by commas), how it is written, what it calls, and in words.

    ``short`` is for the last line, in the order of the table; empty: only the help tells of it.
    """

    names: str
    written: str
    action: str
    short: str
    help: str


KEYS: tuple[Key, ...] = (
    Key("m", "m", "switch", "switch", "pick a profile and switch: others are unloaded"),
    Key("l", "l", "load", "load", "pick a profile and load it beside the others"),
    Key("u", "u", "unload", "unload", "unload the selected instance when its requests are done"),
    Key("p", "p", "pin", "pin", "pin the selected instance, or unpin it"),
    Key("c", "c", "cancel", "cancel", "cancel the selected request, waiting or running"),
    Key("g", "g", "log", "logs", "events, the selected instance's log, the gateway's log"),
    Key("enter", "Enter", "details", "", "all that is known of the selected instance or request"),
    Key("slash", "/", "filter", "find", "only events or log lines with these words"),
    Key("space", "Sp", "pause", "", "hold events and logs still, and let them go on"),
    Key("question_mark", "?", "help", "help", "this page"),
    Key("q", "q", "quit", "quit", "leave; what is loaded stays loaded"),
    Key("escape", "Esc", "clear", "", "all events again, the newest in sight"),
)
MOVES: tuple[tuple[str, str], ...] = (
    ("Tab", "the next panel; Shift-Tab the one before"),
    ("↑ ↓", "select a line, or scroll"),
    ("PgUp PgDn", "a page up or down"),
    ("Home End", "to the first or last line; at the last, events follow"),
)
SIGNS = (
    "Bars: █ engines of ours, ▒ other processes, ░ free.",
    "MEMORY/PLAN: held and predicted, by device.",
)


def footer(width: int) -> Text:
    """The last line: as many keys as there is room for; help and quit always."""
    line = Text(no_wrap=True)
    named = [key for key in KEYS if key.short]
    least = [key for key in named if key.action in ("help", "quit")]
    room = width - sum(len(_written(key)) for key in least)
    for key in named:
        if key not in least and (room := room - len(_written(key))) < 0:
            continue
        line.append(f" {key.written}", style="bold cyan").append(f" {key.short} ")
    line.truncate(width)
    return line


def _written(key: Key) -> str:
    return f" {key.written} {key.short} "


def help_lines() -> Iterator[Text]:
    """The help, a line a key."""
    for written, words in [*((key.written, key.help) for key in KEYS), *MOVES]:
        yield Text(f"{written:>9}  ", style="bold cyan").append(words, style="default not bold")
    yield Text()
    yield from map(Text, SIGNS)
