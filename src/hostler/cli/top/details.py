"""All that is known of one instance or request, line by line. Pure.

Fields are shown as the API gives them, so that what it learns to tell is seen without a change here.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
from rich.text import Text

from hostler.cli.top.board import Board
from hostler.cli.top.marks import DIM, short_size, short_time
from hostler.cli.top.panels.instances import progress
from hostler.cli.top.telling import clock, news, tell
from hostler.events import AnyEvent
from hostler.wire.management import Instance, ProfileInfo, RequestInFlight, RequestRecord

Thing = Instance | ProfileInfo | RequestInFlight | RequestRecord
LABEL = 18
#: The last events about it.
EVENTS = 8
MOMENTS = ("at", "started_at")
LONG = ("argv",)


def find(board: Board, key: str) -> Thing | None:
    """The instance, failed profile or request that a row's key names; None when it is gone."""
    if board.snapshot is None:
        return None
    known = board.snapshot
    for instance in known.instances:
        if instance.id == key:
            return instance
    for profile in known.profiles:
        if profile.name == key:
            return profile
    requests: tuple[RequestInFlight | RequestRecord, ...] = (*known.requests.in_flight, *known.requests.recent)
    return next((request for request in requests if request.id == key), None)


def details(board: Board, thing: Thing) -> Iterator[Text]:
    """Its fields, the last events about it, newest last, and what takes many lines."""
    if isinstance(thing, Instance) and (load := board.loads.get(thing.id)) is not None:
        yield _labelled("load", progress(load))
    told = [(name, Text(_words(name, value))) for name, value in _fields(thing)]
    yield from (_labelled(name, words) for name, words in told if words and name not in LONG)
    about = [event for event in board.events if news(event) and _concerns(event, thing)][-EVENTS:]
    if about:
        yield Text()
        yield from (
            Text(f"{clock(event.at)}  ", style=DIM).append(tell(event).what, style="not dim") for event in about
        )
    for name, words in told:
        if words and name in LONG:
            yield Text()
            yield _labelled(name, words)


def _fields(thing: msgspec.Struct) -> Iterator[tuple[str, object]]:
    """Name and value of each; those of an error or of what is parked below its own name, set in."""
    for name, value in msgspec.structs.asdict(thing).items():
        if isinstance(value, msgspec.Struct):
            yield name, " "
            yield from ((f"  {inner}", each) for inner, each in msgspec.structs.asdict(value).items())
        else:
            yield name, value


def _concerns(event: AnyEvent, thing: Thing) -> bool:
    """Events about an instance: those of its profile. About a request: its own."""
    if isinstance(thing, RequestInFlight | RequestRecord):
        return getattr(event, "request", None) == thing.id
    profile = thing.profile if isinstance(thing, Instance) else thing.name
    return getattr(event, "profile", None) == profile and getattr(event, "request", None) is None


def _labelled(name: str, words: Text) -> Text:
    label = name.replace("_per_s", "/s").removesuffix("_s").removesuffix("_ms").replace("_", " ")
    return Text(f"{label:<{LABEL}}", style=DIM).append_text(Text(style="not dim").append_text(words))


def _words(name: str, value: object) -> str:
    """A field's value for people; empty when there is nothing to tell."""
    match value:
        case bool():
            return "yes" if value else ""
        case float() if name in MOMENTS:
            return clock(value)
        case float() | int() if name.endswith("_s") and not name.endswith("per_s"):
            return short_time(float(value))
        case float() | int() if name.endswith("_ms"):
            return short_time(value / 1000)
        case int() if name in ("size", "bytes"):
            return short_size(value)
        case float():
            return f"{value:.3g}"
        case dict():
            return ", ".join(f"{key} {_amount(each)}" for key, each in value.items())
        case tuple() | list():
            return " ".join(str(each) for each in value)
    return "" if value is None else str(value)


def _amount(value: object) -> str:
    return short_size(value) if isinstance(value, int) else str(value)
