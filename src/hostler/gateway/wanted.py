"""What a request asks for, and of which profile; and of which next where that one fails."""

from __future__ import annotations

from collections.abc import Callable

from hostler.engines.protocol import Endpoint
from hostler.errors import HostlerError
from hostler.fleet.protocol import Conversation, Needs, Served
from hostler.gateway.answering.discreet import Discreet
from hostler.gateway.answering.overflow import Overflow
from hostler.gateway.answering.repairs.counting import prompt_tokens
from hostler.gateway.answering.repairs.known import BLAME, repairs_of
from hostler.gateway.answering.repairs.mending import Counter, Mending
from hostler.gateway.answering.repairs.protocol import Asked, Repairs
from hostler.gateway.answering.sse import Notes
from hostler.gateway.answering.taps import Outlet, Tap, tapped
from hostler.gateway.answering.translating import Translating
from hostler.gateway.asking.by_chat import spoken
from hostler.gateway.asking.elsewhere import Elsewhere
from hostler.gateway.asking.exceeded import ContextExceeded
from hostler.gateway.asking.needs import chosen
from hostler.gateway.asking.prepared import Asking, changed
from hostler.gateway.asking.room import Room, bounded, counted, room_of, wider
from hostler.gateway.door.call import Asker
from hostler.gateway.relay.fallback import Fallback
from hostler.gateway.relay.parts import Relay
from hostler.gateway.relay.upstream import Connection, Receiver
from hostler.gateway.routes import Route
from hostler.gateway.translate.protocol import Translation


class Wanted:
    """One request's wish. What depends on the profile is there once :meth:`settle` has chosen one.

    ``body`` is what its engine gets at ``target``, ``lines`` header lines that tell the client what was changed for it,
    ``tap`` what the answer passes through.
    """

    __slots__ = (
        "_asking", "_call", "_choose", "_fallback", "_relay", "_repairs", "_room", "_served", "_translation", "body",
        "conversation", "lines", "notes", "profile", "request", "route", "stream", "tap", "target",
    )  # fmt: skip

    def __init__(self, relay: Relay, call: Asker, route: Route, request: str) -> None:
        self.request = request
        self.route = route
        self._relay = relay
        self._call = call
        self._asking: Asking | None = None
        self._fallback: Fallback | None = None
        self._choose: Callable[[Needs], tuple[Served, ...]] | None = None
        self._served: Served | None = None
        self._room: Room | None = None
        self._repairs: Repairs | None = None
        self._translation: Translation | None = None
        self.target = route.target
        self.stream = False
        self.profile = ""
        self.body = self.lines = b""
        self.conversation: Conversation | None = None
        self.notes: Notes | None = None
        self.tap: Tap | None = None

    def read(self) -> None:
        """Take the body from the call. Raises InvalidRequest."""
        route, headers, body = self.route, self._call.headers, self._call.body()
        asked = route.peek(body, headers)
        self.stream = asked.stream is True
        self._asking = Asking(route, headers, body, asked)

    def settle(self) -> None:
        """Choose the profile. Raises UnknownProfile, WrongTask, InvalidRequest."""
        asking = self._asking
        assert asking is not None
        resolved = self._relay.catalogue.resolve(asking.peek.model)
        self._choose = resolved.choose
        served, *others = chosen(resolved, self.route, asking.body, self._call.context)
        if others:
            self._fallback = Fallback(others)
        self.profile = served.name  # also of what it refuses
        self._take(served, asking)

    async def obtain(self, missing: HostlerError) -> None:
        """What :meth:`settle` lacked: another look at the disk, or pictures. Raises InvalidRequest."""
        asking = self._asking
        if not isinstance(missing, Elsewhere) or asking is None:
            await self._relay.catalogue.refresh()
            return
        body = await self._relay.pictures.inlined(asking.body, missing.pictures)
        self._asking = Asking(self.route, asking.headers, body, self.route.peek(body, asking.headers))

    def turns(self, error: HostlerError) -> bool:
        """Whether, after ``error``, it turns to another profile."""
        asking = self._asking
        if isinstance(error, ContextExceeded) and self._choose is not None and asking is not None:
            assert self._served is not None
            served = wider(self._choose, self.route, asking.body, max(error.needed or 0, self._served.context))
        else:
            served = None if self._fallback is None else self._fallback.next(error)
        if served is None or asking is None:
            return False
        try:
            self._take(served, asking)
        except HostlerError:  # it cannot do what is asked: the next may, and the first error is the one to tell
            return not isinstance(error, ContextExceeded) and self.turns(error)
        return True

    @property
    def uncounted(self) -> bool:
        """Whether the engine counts before it is asked."""
        return self._room is not None and self._room.counted

    async def connection(self, endpoint: Endpoint) -> Connection:
        """A connection to ask the engine on, once it has counted where that is needed.

        Raises ContextExceeded, EngineLost. Cancelling hangs up.
        """
        pool, room = self._relay.pool, self._room
        if room is None or not room.counted:
            return await pool.connect(endpoint)
        tokens = await counted(pool, endpoint, room, self.request, self.body)
        if self._room is room:  # else it has turned to another profile
            self._room = room.done()
            self._bound(room, tokens)
        return pool.take(endpoint) or await pool.connect(endpoint)

    def _bound(self, room: Room, tokens: int | None) -> None:
        self.body, notes = bounded(room, self.body, tokens)
        self.lines += changed(notes)

    def heard(self, receiver: Receiver) -> Receiver:
        """Who hears the engine's answer first, where it may be its refusal of what does not fit."""
        return receiver if self._room is None else Overflow(receiver)

    def _take(self, served: Served, asking: Asking) -> None:
        prepared = self._relay.preparing.prepared(asking, served)
        self.profile, self._served = served.name, served
        self.conversation, self.lines = prepared.conversation, prepared.lines
        self.notes = Notes.of_chat(served, self.route, self.request, self._relay.clock)
        out = Outlet(self.request, self._call.write, self._relay.captures)
        body, route, self._translation = spoken(prepared.body, self.route, asking.peek, served)
        self.target = route.target
        self.body, self.tap = tapped(served, self.route, asking.peek, body, out)
        self._room = room_of(served, route, asking.peek, self.body)
        if self._room is not None and not self._room.counted:
            self._bound(self._room, None)
        self._repairs = BLAME if self._translation is not None else repairs_of(served, self.route, asking.peek)

    async def count(self, endpoint: Endpoint, told: Callable[[int], None]) -> None:
        """Have the engine count the prompt that it reads, for a repair."""
        told(await prompt_tokens(self._relay.pool, endpoint, self.request, self.body))

    def mended(self, receiver: Receiver, counter: Counter) -> Receiver:
        """Who hears the engine's answer before ``receiver`` does, to put it right."""
        receiver = Discreet(receiver) if self._relay.discreet else receiver
        served, asking = self._served, self._asking
        if self._repairs is None or asking is None or served is None:
            return receiver
        if self._translation is not None:
            receiver = Translating(receiver, self._translation)
        now = int(self._relay.clock.wall())
        asked = Asked(self.request, self.profile, asking.peek, now, self.body, served.context)
        return Mending(receiver, self._repairs, asked, self.route.family, counter)
