"""One inference request, from its body to its last byte.

An :class:`Exchange` is driven by calls, not by a task: the client's connection and the engine's call it in
the turn of the loop in which their bytes arrive. Only waiting (for a lease, for a connection) is a task.

1. Peek at the body, resolve the profile, check the task, splice in sampling defaults.
   1a. An unknown name: look at the disk once more, then resolve again.
   1b. An `auto` name: the profile that suits the request, and those to fall back to.
2. Get a lease: at once, or by waiting in line.
   2a. Nothing is sent for ``load_grace_s``, so that a quick failure keeps its status.
   2b. Then a stream gets 200 and SSE comments that say where it stands.
   2c. After ``queue_timeout_s`` the request is refused.
3. Send it on an idle connection, or a fresh one; to a remote in its own words (`gateway/relay/remote.py`).
4. Hand on head and body as they come; the last 8 KiB are kept and read after the end.
5. End, in exactly one way: the lease is given back and one row goes to the ledger.
   5a. The engine's last byte.
   5b. The client left: the engine's connection is closed in the same turn.
   5c. The engine was lost before its first byte: asked again with a new lease, a bounded number of times.
       Whatever fails before it under an `auto` name: the next profile to fall back to is asked.
   5d. Lost later: an error event in the API's own form, or a cut connection where there is no such form.
   5e. An operator cancelled it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from hostler.errors import Draining, EngineLost, EngineSilent, HostlerError, RequestCancelled, UnknownProfile
from hostler.fleet.protocol import Abandoned, Lease, Standing, Ticket
from hostler.gateway.answering.folding import Folding, asked_of
from hostler.gateway.answering.sse import STREAM_LINES, STREAMS, Collected, comment_of
from hostler.gateway.answering.tail import NO_TOKENS, Tail
from hostler.gateway.asking.elsewhere import Elsewhere
from hostler.gateway.asking.peek import placed
from hostler.gateway.door.call import Asker
from hostler.gateway.errors import status_of
from hostler.gateway.relay.heads import engine_lines, lines_of, own_lines
from hostler.gateway.relay.http1 import Head
from hostler.gateway.relay.parts import Relay, tell_tokens
from hostler.gateway.relay.queue import CLIENT_LEFT, COMMENT_S, Patience, priority_of, queue_lines, stood, waited_lines
from hostler.gateway.relay.refusing import break_off, refuse, taken_back
from hostler.gateway.relay.remote import RemoteCall, RemoteRequest
from hostler.gateway.relay.retrying import WHY_S, pause_s
from hostler.gateway.relay.rows import Account
from hostler.gateway.relay.upstream import Connection, Receiver
from hostler.gateway.routes import Route
from hostler.gateway.wanted import Wanted


class Exchange:
    """One request. Implements the client's Answerer and the engine's Sink."""

    __slots__ = (
        "_answering", "_asked", "_call", "_collected", "_connection", "_ended", "_first", "_folding", "_full", "_lease",
        "_opened", "_place", "_principal", "_relay", "_remote", "_route", "_spent_stale", "_sse", "_started", "_status",
        "_tail", "_task", "_ticket", "_tries", "_wanted", "request",
    )  # fmt: skip

    def __init__(self, relay: Relay, call: Asker, route: Route, principal: str, request: str) -> None:
        self.request = request
        self._relay = relay
        self._call = call
        self._route = route
        self._wanted = Wanted(relay, call, route, request)
        self._principal = principal
        self._started = relay.clock.monotonic()
        self._ticket: Ticket | None = None
        self._lease: Lease | None = None
        self._connection: Connection | None = None
        self._task: asyncio.Task[None] | None = None
        self._asked = 0.0
        self._first: float | None = None
        self._tail: Tail | None = None
        self._status, self._place = 0, 0  # the place in the line, when it joined
        self._opened = False  # 200 and SSE comments were sent while waiting
        self._answering = False  # the engine's head has come
        self._sse = False  # what the client gets is an event stream
        self._collected: Collected | None = None
        self._full = self._ended = False
        self._tries, self._spent_stale = 0, False
        self._folding: Folding | None = None
        self._remote: RemoteCall | None = None  # how a remote is asked

    # 1. and 2.

    def begin(self) -> None:
        """Start; every error of the tree becomes an answer."""
        self._call.answerer = self
        try:
            if self._relay.draining():
                raise Draining("The gateway is stopping.")
            self._wanted.read()
            try:
                self._admit()
            except (UnknownProfile, Elsewhere) as missing:
                self._task = self._relay.spawn(self._look_again(missing), self.on_stalled)
        except HostlerError as error:
            self._refuse(error)

    async def _look_again(self, missing: HostlerError) -> None:
        """The model may have come since the disk was last looked at; pictures may have to be fetched."""
        try:
            await self._wanted.obtain(missing)
            self._admit()
        except HostlerError as error:
            self._refuse(error)

    def _admit(self) -> None:
        wanted = self._wanted
        wanted.settle()
        lease = self._relay.fleet.lease_now(
            wanted.profile, self.request, self._principal, self._route.name, conversation=wanted.conversation
        )
        if lease is None:
            self._wait()
        else:
            self._use(lease)

    def _wait(self) -> None:
        """Join the line; raises QueueFull or Draining."""
        ticket = self._relay.fleet.ask(
            self._wanted.profile, self.request, self._principal, self._route.name,
            priority=priority_of(self._call.headers), conversation=self._wanted.conversation,
        )  # fmt: skip
        self._ticket = ticket
        self._place = self._place or ticket.place
        self._task = self._relay.spawn(self._stand_in_line(ticket), self.on_stalled)

    async def _stand_in_line(self, ticket: Ticket) -> None:
        try:
            lease = await stood(ticket, self._relay.clock, self._patience(), lambda: self._ended)
        except HostlerError as error:
            self._ticket = None
            self._refuse(error)
            return
        self._ticket = None
        self._use(lease)

    def _patience(self) -> Patience:
        limits = self._relay.limits
        return Patience(
            profile=self._wanted.profile, since=self._started, bound_s=limits.queue_timeout_s,
            first_s=COMMENT_S if self._opened else limits.load_grace_s,
            say=self._comment if self._wanted.stream else None,
        )  # fmt: skip

    def _comment(self, standing: Standing) -> None:
        """Keep a stream alive and say where it stands; every SSE reader skips it, people read the note."""
        if not self._opened:
            self._opened = self._sse = True
            self._call.begin(200, STREAM_LINES + self._own_lines() + queue_lines(standing), None)
            self._call.flush()
        if not self._full:
            note = b"" if self._wanted.notes is None else self._wanted.notes.of(standing)
            self._call.write(comment_of(self._wanted.profile, standing) + note)

    # 3.

    def _use(self, lease: Lease) -> None:
        self._lease, self._spent_stale = lease, False
        lease.on_cancel(self._on_cancel)
        if self._lease is not lease:
            return  # taken back between its grant and this turn
        if lease.endpoint.remote is not None:
            try:
                asked = RemoteRequest(self._route, self._wanted.body, self._call.headers, self._principal)
                self._remote = RemoteCall(lease.endpoint, asked, self._listener(), self._relay.clock.wall())
            except HostlerError as error:
                self._refuse(error)
                return
        connection = None if self._wanted.uncounted else self._relay.pool.take(lease.endpoint)
        if connection is None:
            self._task = self._relay.spawn(self._connect(lease), self.on_stalled)
        else:
            self._send(lease, connection)

    async def _connect(self, lease: Lease) -> None:
        try:
            connection = await self._wanted.connection(lease.endpoint)
        except HostlerError as error:
            if self._lease is lease:  # else it was taken back meanwhile, and the next is on its way
                self._lost(error) if isinstance(error, EngineLost) else self._refuse(error)
            return
        if self._ended or self._lease is not lease:
            connection.hang_up()
            return
        self._send(lease, connection)

    def _send(self, lease: Lease, connection: Connection) -> None:
        self._connection = connection
        self._asked = self._relay.clock.monotonic()
        if self._full:
            connection.pause()
        if self._remote is not None:
            connection.send((self._remote.lines,), self._remote)
            return
        kind, target = self._route.kind(self._call.headers), self._wanted.target
        body, sink = asked_of(target, lease, self._wanted.stream, self._wanted.body, self._listener())
        self._folding = sink if isinstance(sink, Folding) else None
        pieces = (body,) if lease.place is None else placed(body, lease.place)
        head = engine_lines(target, lease.endpoint, self.request, sum(map(len, pieces)), kind)
        connection.send((head, *pieces), sink)

    def _listener(self) -> Receiver:
        """Who hears the engine's answer first."""
        return self._wanted.heard(self._wanted.mended(self, self))

    # 4. What the engine's connection calls.

    def on_head(self, head: Head, *, alone: bool) -> None:
        self._first = self._relay.clock.monotonic()
        self._answering = True
        self._status = head.status
        events = head.get(b"content-type").startswith(STREAMS)
        if self._opened:
            self._collected = None if events and head.status == 200 else Collected()
            return
        self._sse = events
        # Of events some may be left out, or one put behind: they are as long as they get.
        self._call.begin(head.status, lines_of(head) + self._own_lines(), None if events else head.length)
        if alone:
            self._call.flush()

    def on_data(self, data: bytes) -> None:
        tail = self._tail
        if tail is None:
            tail = self._tail = Tail()
        tail.add(data)
        if self._collected is None:
            (self._wanted.tap or self._call).write(data)
        else:
            self._collected.add(data)

    def on_end(self) -> None:
        self._connection = None
        if self._collected is not None:
            self._call.write(self._collected.event(self._route.family))
        elif self._wanted.tap is not None:
            self._wanted.tap.end()
        self._call.finish()
        self._end(self._status)

    def on_lost(self, error: EngineLost, *, stale: bool) -> None:
        self._connection = None
        lease = self._lease
        if stale and not self._spent_stale and lease is not None:
            self._spent_stale = True
            self._task = self._relay.spawn(self._connect(lease), self.on_stalled)
        else:
            self._lost(error)

    def on_refused(self, error: HostlerError, *, whole: bool) -> None:
        connection, self._connection = self._connection, None
        if connection is not None and not whole:
            connection.hang_up()
        self._refuse(error)

    def on_stalled(self) -> None:
        """The client has read nothing for ``idle_stream_s``: its slot is worth more to others."""
        self._call.cut(unread=True)
        self.on_gone()

    # What a repair of the answer calls.

    def count_prompt(self, told: Callable[[int], None]) -> None:
        if self._lease is not None:
            counting = self._wanted.count(self._lease.endpoint, lambda tokens: None if self._ended else told(tokens))
            self._task = self._relay.spawn(counting, self.on_stalled)

    def on_read(self) -> None:
        self._connection = None

    # What the client's connection calls.

    def on_gone(self) -> None:
        if self._task is not None:
            self._task.cancel()
        if self._ticket is not None:
            self._ticket.leave()
        if self._sse and self._tail is not None and self._tail.said_all:
            self._end(self._status)  # some clients do not wait for what follows the last event: nothing
        else:
            self._end(CLIENT_LEFT, cancelled=True)

    def on_full(self) -> None:
        self._full = True
        if self._connection is not None:
            self._connection.pause()

    def on_writable(self) -> None:
        self._full = False
        if self._connection is not None:
            self._connection.resume()

    # 5.

    def _on_cancel(self) -> None:
        """The fleet takes the lease back: an operator's word, the end of the gateway, or the engine is lost."""
        if self._ended or self._lease is None:
            return
        if self._lease.cancelled:
            self._fail(taken_back(draining=self._relay.draining()))
        else:
            if self._connection is not None:
                self._connection.hang_up()
                self._connection = None
            self._lost(self._lease.lost or EngineLost("The engine ended before its answer did."))

    def _lost(self, error: EngineLost) -> None:
        if self._ended:
            return
        if self._lease is not None:
            error = self._lease.lost or error
            if not isinstance(error, EngineSilent):
                self._lease.doubt()
        pause = None if self._answering else pause_s(error, self._tries)
        if pause is None:
            if not self._falls_back(error):
                self._give_up(error)
            return
        if self._lease is not None:
            self._lease.end(status_of(error))
            self._lease = None
        self._task = self._relay.spawn(self._again(pause), self.on_stalled)
        self._tries += 1

    def _give_up(self, error: EngineLost) -> None:
        """End with the loss, and with why where the client can still be told: that shows a moment later."""
        silent, lease = isinstance(error, EngineSilent), self._lease
        if silent or lease is None or lease.lost is not None:
            self._fail(error, abandoned=silent)
        else:
            self._task = self._relay.spawn(self._fail_knowing(lease, error), self.on_stalled)

    async def _fail_knowing(self, lease: Lease, error: EngineLost) -> None:
        why = await lease.why(WHY_S)
        if not self._ended:
            self._fail(why or error)

    async def _again(self, pause_s: float) -> None:
        await asyncio.sleep(pause_s)
        try:
            self._wait()
        except HostlerError as error:
            self._refuse(error)

    def _fail(self, error: HostlerError, *, abandoned: bool = False) -> None:
        """End with an error, wherever the request stands."""
        family, told = self._route.family, self._relay.told(error)
        if self._answering or self._opened:
            break_off(self._call, told, family, events=self._sse, begun=self._tail is not None)
        else:
            refuse(self._call, told, family, self._own_lines())
        self._end(status_of(error), cancelled=isinstance(error, RequestCancelled), abandoned=abandoned)

    def _refuse(self, error: HostlerError) -> None:
        if not self._ended and not self._falls_back(error):
            self._fail(error)

    def _falls_back(self, error: HostlerError) -> bool:
        """Whether another profile is asked instead."""
        if self._answering or not self._wanted.turns(error):
            return False
        lease, self._lease = self._lease, None
        if lease is not None:
            lease.end(status_of(error), abandoned="silent" if isinstance(error, EngineSilent) else None)
        self._tries, self._remote = 0, None
        self._task = self._relay.spawn(self._again(0), self.on_stalled)
        return True

    def _end(self, status: int, *, cancelled: bool = False, abandoned: bool = False) -> None:
        if self._ended:
            return
        self._ended = True
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.hang_up()
        lease, self._lease = self._lease, None
        tokens = NO_TOKENS if self._tail is None else self._tail.tokens()
        if lease is not None:
            tell_tokens(lease, tokens)
            left = abandoned or connection is not None
            begun = self._sse and self._tail is not None if self._folding is None else self._folding.begun
            heard: Abandoned = "streaming" if begun else "silent"
            lease.end(status, abandoned=heard if left else None)
        self._relay.closed(self.request)
        account = Account(
            request=self.request, principal=self._principal, profile=self._wanted.profile, api=self._route.name,
            status=status, lease=lease, tokens=tokens, started=self._started, first=self._first, streamed=self._sse,
            cancelled=cancelled,
        )  # fmt: skip
        self._relay.recorder.record(account.row(self._relay.clock))

    def _own_lines(self) -> bytes:
        asked, now = self._asked, self._first or self._relay.clock.monotonic()
        engine_ms = (now - asked) * 1e3 if asked else 0.0
        own = own_lines(self.request, self._wanted.profile, self._lease, engine_ms, (now - self._started) * 1e3)
        return own + self._wanted.lines + waited_lines(self._place, self._lease)
