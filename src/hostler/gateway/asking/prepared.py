"""One request as one profile gets it.

What a profile does to requests is compiled once for each route: a tuple of edits, empty for most, so that a body which
needs none is handed on as it came.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import msgspec

from hostler.fleet.protocol import Conversation, Served
from hostler.gateway.asking import ownership, reasoning, rewrites, sampling, volatile
from hostler.gateway.asking.checks.fitting import check_for
from hostler.gateway.asking.checks.telling import told
from hostler.gateway.asking.conversations import conversation_for
from hostler.gateway.asking.fields import Edit, Fields
from hostler.gateway.asking.forms import renamed_form
from hostler.gateway.asking.llamacpp import formats, tools, turns
from hostler.gateway.asking.peek import Peek
from hostler.gateway.routes import Route


class Asking(msgspec.Struct, frozen=True):
    """A request as its client sent it (a translated one: as its translation says it): its body, what is known of it,
    its header lines."""

    route: Route
    headers: Mapping[bytes, bytes]
    body: bytes
    peek: Peek


class Prepared(msgspec.Struct, frozen=True):
    """``lines`` are header lines that tell the client what was changed for it."""

    body: bytes
    conversation: Conversation | None
    lines: bytes = b""


def _named(served: Served, _: Route) -> Edit | None:
    """A program or a remote hears its own name for its model."""
    if served.called is None:
        return None
    name = msgspec.json.encode(served.called)
    return lambda fields: fields.set("model", name)


Maker = Callable[[Served, Route], Edit | None]
#: In the order in which they edit.
MAKERS: Final[tuple[Maker, ...]] = (
    _named,
    volatile.edit_of,
    ownership.edit_of,
    rewrites.edit_of,
    reasoning.edit_of,
    sampling.edit_of,
    turns.edit_of,
    tools.edit_of,
    formats.edit_of,
)


class Preparing:
    """Prepares requests; keeps the edits of each profile and route."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str, str], tuple[Served, tuple[Edit, ...]]] = {}

    def prepared(self, asking: Asking, served: Served) -> Prepared:
        """``asking`` for ``served``. Raises WrongTask, InvalidRequest and what an edit raises."""
        try:
            return self._prepared(asking, served)
        except msgspec.ValidationError as error:  # of what no check declares, and an edit reads
            raise told(error) from None

    def _prepared(self, asking: Asking, served: Served) -> Prepared:
        route = asking.route
        edits = self._edits(served, route)
        check_for(served, asking.peek)
        conversation = conversation_for(served, route, asking.headers, asking.body)
        if route.form:
            return Prepared(_form_for(served, asking), conversation)
        if not edits:
            return Prepared(asking.body, conversation)
        fields = Fields(asking.body, asking.peek)
        for edit in edits:
            edit(fields)
        return Prepared(fields.bytes(), conversation, changed(fields.notes))

    def _edits(self, served: Served, route: Route) -> tuple[Edit, ...]:
        """Raises WrongTask, each time for a profile that cannot do what the route is for."""
        key = served.name, served.preset, route.api
        known = self._known.get(key)
        if known is None or known[0] is not served:
            route.check(served)
            made = (maker(served, route) for maker in MAKERS)
            known = self._known[key] = served, tuple(edit for edit in made if edit is not None)
        return known[1]


def _form_for(served: Served, asking: Asking) -> bytes:
    if served.called is None:
        return asking.body
    return renamed_form(asking.body, asking.route.kind(asking.headers), served.called)


def changed(notes: Sequence[str]) -> bytes:
    """The header line that tells the client what was changed; nothing for no change."""
    return b"x-hostler-changed: %b\r\n" % ", ".join(notes).encode("ascii", "replace") if notes else b""
