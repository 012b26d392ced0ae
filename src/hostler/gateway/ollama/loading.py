"""Requests of Ollama's API that only have a model loaded, or leave: those without a prompt."""

from __future__ import annotations

import asyncio

import msgspec

from hostler.errors import Draining, HostlerError, UnknownProfile
from hostler.fleet.protocol import Lease, Served, found
from hostler.gateway.answering.tail import NO_TOKENS
from hostler.gateway.asking.needs import chosen
from hostler.gateway.door.call import Asker
from hostler.gateway.errors import status_of
from hostler.gateway.ollama.talk import JSON, changes
from hostler.gateway.relay.heads import own_lines
from hostler.gateway.relay.parts import Relay
from hostler.gateway.relay.queue import CLIENT_LEFT, COMMENT_S, Patience, priority_of, stood
from hostler.gateway.relay.refusing import refuse
from hostler.gateway.relay.rows import Account
from hostler.gateway.routes import Route
from hostler.gateway.translate.ollama import shapes as o
from hostler.gateway.translate.ollama.answers import Stamps
from hostler.gateway.translate.ollama.asked import Kind, Wishes


class Visit(msgspec.Struct, frozen=True):
    """What is asked on which route, with whose key, under which id."""

    kind: Kind
    wishes: Wishes
    route: Route
    principal: str
    request: str


class Loading:
    """One such request: it waits in line as any other, and gives its lease back at once. Implements the client's
    Answerer."""

    def __init__(self, relay: Relay, call: Asker, visit: Visit) -> None:
        self.request = visit.request
        self._relay = relay
        self._call = call
        self._visit = visit
        self._started = relay.clock.monotonic()
        self._profile = ""
        self._lease: Lease | None = None
        self._task: asyncio.Task[None] | None = None
        self._ended = False

    def begin(self) -> None:
        """Start; every error of the tree becomes an answer."""
        self._call.answerer = self
        self._task = self._relay.spawn(self._run(), self.on_stalled)

    async def _run(self) -> None:
        wishes = self._visit.wishes
        try:
            served = await self._meant(wishes)
            if not wishes.unloads:
                await self._load(served)
            if wishes.stay_s is not None:
                self._relay.stay(served.name, wishes.stay_s)
        except HostlerError as error:
            if not self._ended:
                refuse(self._call, self._relay.told(error), "ollama", self._own_lines())
                self._end(status_of(error))
            return
        if not self._ended:
            body = answer_of(self._visit.kind, wishes, self._relay.clock.wall())
            lines = JSON + self._own_lines() + changes(wishes, served.context)
            self._call.answer(200, lines, body)
            self._end(200)

    async def _meant(self, wishes: Wishes) -> Served:
        if self._relay.draining():
            raise Draining("The gateway is stopping.")
        try:
            served = await self._named(wishes.model)
        except UnknownProfile:
            raise UnknownProfile(f"model '{wishes.model or ''}' not found", hint="") from None
        self._profile = served.name
        if not wishes.unloads:
            self._visit.route.check(served)
        return served

    async def _named(self, name: str | None) -> Served:
        catalogue = self._relay.catalogue
        served = catalogue.resolve(None) if name is None else await found(catalogue, name)
        return chosen(served, self._visit.route, b"{}", self._visit.wishes.context)[0]

    async def _load(self, served: Served) -> None:
        fleet, api = self._relay.fleet, self._visit.route.name
        lease = fleet.lease_now(served.name, self.request, self._visit.principal, api)
        if lease is None:
            priority = priority_of(self._call.headers)
            ticket = fleet.ask(served.name, self.request, self._visit.principal, api, priority=priority)
            lease = await stood(ticket, self._relay.clock, self._patience(served), lambda: self._ended)
        self._lease = lease
        lease.end(200)

    def _patience(self, served: Served) -> Patience:
        bound_s = self._relay.limits.queue_timeout_s
        return Patience(profile=served.name, since=self._started, bound_s=bound_s, first_s=COMMENT_S, say=None)

    # What the client's connection calls.

    def on_gone(self) -> None:
        if self._task is not None:
            self._task.cancel()
        self._end(CLIENT_LEFT, cancelled=True)

    def on_full(self) -> None:
        return

    def on_writable(self) -> None:
        return

    def on_stalled(self) -> None:
        """Given up: a bug, or the end of the gateway."""
        self._call.cut(unread=True)
        self.on_gone()

    def _end(self, status: int, *, cancelled: bool = False) -> None:
        if self._ended:
            return
        self._ended = True
        self._relay.closed(self.request)
        account = Account(
            request=self.request, principal=self._visit.principal, profile=self._profile, api=self._visit.route.name,
            status=status, lease=self._lease, tokens=NO_TOKENS, started=self._started, first=None, streamed=False,
            cancelled=cancelled,
        )  # fmt: skip
        self._relay.recorder.record(account.row(self._relay.clock))

    def _own_lines(self) -> bytes:
        spent_ms = 1e3 * (self._relay.clock.monotonic() - self._started)
        return own_lines(self.request, self._profile, self._lease, 0.0, spent_ms)


def answer_of(kind: Kind, wishes: Wishes, now: float) -> bytes:
    """What such a request is answered, at ``now`` seconds since the Unix epoch."""
    model = wishes.model or ""
    if kind == "embed":
        return msgspec.json.encode(o.Embedded(model, [], 0, 0, 0))
    if kind == "embeddings":
        return b'{"embedding":[]}'
    line = o.Told(model, Stamps().of(now), done=True, done_reason="unload" if wishes.unloads else "load")
    if kind == "chat":
        line.message = o.Said("assistant", "")
    else:
        line.response = ""
    return msgspec.json.encode(line)
