"""What a request asks for, and of which profile; and of which next where that one fails."""

from __future__ import annotations

from hostler.errors import HostlerError
from hostler.fleet.protocol import Conversation, Served
from hostler.gateway.answering.sse import Notes
from hostler.gateway.answering.taps import Outlet, Tap, tapped
from hostler.gateway.asking.needs import chosen
from hostler.gateway.asking.prepared import Asking
from hostler.gateway.call import Asker
from hostler.gateway.fallback import Fallback
from hostler.gateway.relay_parts import Relay
from hostler.gateway.routes import Route
from hostler.gateway.translate.protocol import Translation


class Wanted:
    """One request's wish. What depends on the profile is there once :meth:`settle` has chosen one.

    ``body`` is what its engine gets, ``lines`` header lines that tell the client what was changed for it, ``tap`` what
    the answer passes through, ``translation`` there where the client speaks another API than the engine is asked in.
    """

    __slots__ = (
        "_asking", "_call", "_fallback", "_relay", "body", "conversation", "lines", "notes", "profile", "request",
        "route", "stream", "tap", "translation",
    )  # fmt: skip

    def __init__(self, relay: Relay, call: Asker, route: Route, request: str) -> None:
        self.request = request
        self.route = route
        self._relay = relay
        self._call = call
        self._asking: Asking | None = None
        self._fallback: Fallback | None = None
        self.translation: Translation | None = None
        self.stream = False
        self.profile = ""
        self.body = self.lines = b""
        self.conversation: Conversation | None = None
        self.notes: Notes | None = None
        self.tap: Tap | None = None

    def read(self) -> None:
        """Take the body from the call. Raises InvalidRequest."""
        route, headers, body = self.route, self._call.headers, self._call.body()
        if route.translation is not None:
            self.translation = route.translation(self._relay.clock.wall())
            body = self.translation.request(body)
        asked = route.peek(body, headers)
        self.stream = asked.stream is True
        self._asking = Asking(route, headers, body, asked)

    def settle(self) -> None:
        """Choose the profile. Raises UnknownProfile, WrongTask, InvalidRequest."""
        asking = self._asking
        assert asking is not None
        served, *others = chosen(self._relay.catalogue.resolve(asking.peek.model), self.route, asking.body)
        if others:
            self._fallback = Fallback(others)
        self._take(served, asking)

    def turns(self, error: HostlerError) -> bool:
        """Whether, after ``error``, it turns to another profile. Raises as :meth:`settle` does."""
        served = None if self._fallback is None else self._fallback.next(error)
        if served is None or self._asking is None:
            return False
        self._take(served, self._asking)
        return True

    def _take(self, served: Served, asking: Asking) -> None:
        self.profile = served.name
        prepared = self._relay.preparing.prepared(asking, served)
        self.conversation, self.lines = prepared.conversation, prepared.lines
        self.notes = Notes.of_chat(served, self.route, self.request, self._relay.clock)
        out = Outlet(self.request, self._call.write, self._relay.captures)
        self.body, self.tap = tapped(served, self.route, asking.peek, prepared.body, out)
