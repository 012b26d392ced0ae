"""Connections to engines, remote ones by TLS: our own pool, one request at a time on each, never pipelined.

A connection belongs to at most one :class:`Sink` at a time. It goes back to the pool only when its
response was read to the end with no byte too many and the engine did not ask to close. Bytes that come on
an idle connection, or its end, throw it away.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable, Sequence
from typing import Final, Protocol, cast

import msgspec

from hostler.engines.protocol import Endpoint
from hostler.errors import EngineLost, EngineSilent, HostlerError, RemoteUnreachable
from hostler.gateway.relay.http1 import END, HEAD_LIMIT, Head, ResponseParser

IDLE_PER_ENDPOINT: Final = 256
#: A remote is behind a network: its name is looked up, and TLS takes two more ways there and back.
FARTHER: Final = 5

#: One that is gone without a word is noticed after two minutes; one that is there may think for as long as it likes.
#: Systems name these options differently, or lack some.
KEEP_ALIVE: Final = (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 15), ("TCP_KEEPCNT", 4))

#: Host, port, and whether by TLS.
Key = tuple[str, int, bool]


class UpstreamLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds on an engine; seconds and bytes, None is unbounded. A remote has :data:`FARTHER` times ``connect_s``."""

    head: int = HEAD_LIMIT
    connect_s: float = 2.0
    first_byte_s: float | None = None
    idle_stream_s: float | None = 600.0


class Sink(Protocol):
    """Who listens to a response. After ``on_end`` or ``on_lost`` the connection is no longer his."""

    def on_head(self, head: Head, *, alone: bool) -> None:
        """The head; ``alone`` when nothing of the body came with it."""
        ...

    def on_data(self, data: bytes) -> None: ...

    def on_end(self) -> None: ...

    def on_lost(self, error: EngineLost, *, stale: bool) -> None:
        """The engine is gone or silent. ``stale``: a reused connection broke before any byte came back."""
        ...

    def on_stalled(self) -> None:
        """The sink has held the connection paused for ``idle_stream_s``."""
        ...


class Receiver(Sink, Protocol):
    """A sink that is also told when there will be no answer, by those who read it before him."""

    def on_refused(self, error: HostlerError, *, whole: bool) -> None:
        """There is no answer. ``whole``: the connection is read to the end, and no longer the receiver's."""
        ...


class Connection(asyncio.Protocol):
    """One TCP connection to an engine."""

    __slots__ = (
        "_heard", "_key", "_last", "_loop", "_parser", "_paused", "_pool", "_served", "_sink", "_timer", "_transport",
    )  # fmt: skip

    def __init__(self, pool: Pool, key: Key) -> None:
        self._pool = pool
        self._key = key
        self._loop = asyncio.get_running_loop()
        self._parser = ResponseParser(pool.limits.head)
        self._sink: Sink | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._last = 0.0
        self._heard = False
        self._paused = False
        self._served = 0

    # What the pool's user calls.

    def send(self, request: bytes | Sequence[bytes | memoryview], sink: Sink, *, bodiless: bool = False) -> None:
        """Send a whole request, or the pieces that it is in; its answer goes to ``sink``.

        It is already bounded and in memory, so there is nothing to drain: the transport keeps references, no copy.
        """
        self._sink = sink
        self._heard = False
        self._last = self._loop.time()
        self._parser.begin(bodiless=bodiless)
        if isinstance(request, bytes):
            self._transport.write(request)
        else:
            self._transport.writelines(request)
        if self._timer is None and self._pool.tick_s is not None:
            self._timer = self._loop.call_later(self._pool.tick_s, self._check)

    def keep_alive(self) -> None:
        """Have the system ask, while nothing is said, whether the other side is still there."""
        wire = cast(socket.socket, self._transport.get_extra_info("socket"))
        wire.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in KEEP_ALIVE:
            if (option := getattr(socket, name, None)) is not None:
                wire.setsockopt(socket.IPPROTO_TCP, option, value)

    def pause(self) -> None:
        """Stop reading: the client does not keep up."""
        if not self._paused and not self._transport.is_closing():
            self._paused = True
            self._last = self._loop.time()
            self._transport.pause_reading()

    def resume(self) -> None:
        """Read again."""
        if self._paused and not self._transport.is_closing():
            self._paused = False
            self._last = self._loop.time()
            self._transport.resume_reading()

    def hang_up(self) -> None:
        """Close at once; the sink hears nothing more."""
        self._sink = None
        self._drop()

    # What the loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        sink = self._sink
        if sink is None:
            self._drop()
            return
        self._heard = True
        self._last = self._loop.time()
        try:
            events = self._parser.feed(data)
        except EngineLost as error:
            self._lose(error)
            return
        for event in events:
            if event.__class__ is bytes:
                sink.on_data(event)
            elif event is END:
                self._complete(sink)
            else:
                sink.on_head(cast(Head, event), alone=len(events) == 1)
            if self._sink is not sink:
                return

    def eof_received(self) -> bool:
        self._ended(None)
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._ended(exc)

    # Inside.

    def _complete(self, sink: Sink) -> None:
        self._sink = None
        self._served += 1
        if self._paused:
            self.resume()
        if self._parser.reusable and not self._transport.is_closing():
            self._pool.give_back(self._key, self)
        else:
            self._drop()
        sink.on_end()

    def _ended(self, exc: Exception | None) -> None:
        sink = self._sink
        if sink is None:
            self._drop()
            return
        try:
            self._parser.eof()
        except EngineLost as error:
            reason = f" ({exc})" if exc is not None else ""
            self._lose(EngineLost(error.message[:-1] + reason + "."))
            return
        self._complete(sink)

    def _lose(self, error: EngineLost) -> None:
        sink, self._sink = self._sink, None
        self._drop()
        if sink is not None:
            sink.on_lost(error, stale=self._served > 0 and not self._heard and not isinstance(error, EngineSilent))

    def _drop(self) -> None:
        self._pool.forget(self._key, self)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        # Paused or not, unread bytes or not: the engine must notice now.
        self._transport.abort()

    def _check(self) -> None:
        """Bound silence with one timer per connection, moved only when it fires."""
        self._timer = None
        sink, limits, tick_s = self._sink, self._pool.limits, self._pool.tick_s
        if sink is None or tick_s is None:
            return
        bound = limits.idle_stream_s if self._heard or self._paused else limits.first_byte_s
        now = self._loop.time()
        due = now + tick_s if bound is None else self._last + bound
        if due > now:
            self._timer = self._loop.call_at(min(due, now + tick_s), self._check)
        elif self._paused:
            sink.on_stalled()
        else:
            what = "the middle of its answer" if self._heard else "its first byte"
            self._lose(EngineSilent(f"The engine said nothing for {bound:g} s before {what}."))


class Pool:
    """Idle connections by address, the most recently used first.

    ``trust`` makes the context for TLS when it is first needed, in a thread, because it reads all certificates of the
    system (of OpenSSL's ``SSL_CERT_FILE``, where that is set).
    """

    def __init__(
        self, limits: UpstreamLimits, trust: Callable[[], ssl.SSLContext] = ssl.create_default_context
    ) -> None:
        self.configure(limits)
        self._trust = trust
        self._tls: ssl.SSLContext | None = None
        self._idle: dict[Key, list[Connection]] = {}

    def configure(self, limits: UpstreamLimits) -> None:
        """Take other limits from now on; an answer that is bounded already keeps to them when it next looks."""
        self.limits = limits
        bounds = [bound for bound in (limits.first_byte_s, limits.idle_stream_s) if bound is not None]
        #: How often a busy connection looks at its bounds; None without bounds.
        self.tick_s: float | None = min(bounds) if bounds else None

    def take(self, endpoint: Endpoint) -> Connection | None:
        """An idle connection to ``endpoint``, if there is one."""
        idle = self._idle.get(_key(endpoint))
        return idle.pop() if idle else None

    async def connect(self, endpoint: Endpoint) -> Connection:
        """A fresh connection within its bound; raises EngineLost, of a remote RemoteUnreachable."""
        remote = endpoint.remote
        bound_s = self.limits.connect_s * (1 if remote is None else FARTHER)
        try:
            async with asyncio.timeout(bound_s):
                connection = await self._connected(_key(endpoint))
        except TimeoutError:
            raise _unreachable(endpoint, f"took no connection within {bound_s:g} s") from None
        except ssl.SSLCertVerificationError as error:
            raise _unreachable(endpoint, f"has a certificate that is not trusted ({error.verify_message})") from error
        except OSError as error:
            raise _unreachable(endpoint, f"cannot be reached ({error.strerror or error})") from error
        except UnicodeError as error:  # what looks a name up says so of one that none can have
            raise _unreachable(endpoint, "is no name of a machine") from error
        if remote is not None:
            connection.keep_alive()
        return connection

    async def _connected(self, key: Key) -> Connection:
        host, port, tls = key
        if tls and self._tls is None:
            self._tls = await asyncio.to_thread(self._trust)
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(
            lambda: Connection(self, key), host, port, ssl=self._tls if tls else None
        )
        return connection

    def give_back(self, key: Key, connection: Connection) -> None:
        """Keep a connection that was read to its end."""
        idle = self._idle.setdefault(key, [])
        if len(idle) < IDLE_PER_ENDPOINT:
            idle.append(connection)
        else:
            connection.hang_up()

    def forget(self, key: Key, connection: Connection) -> None:
        """A connection ended; nothing happens when it was not idle."""
        idle = self._idle.get(key)
        if idle and connection in idle:
            idle.remove(connection)
        if idle is not None and not idle:
            del self._idle[key]

    def close(self) -> None:
        """Close every idle connection."""
        for idle in list(self._idle.values()):
            for connection in list(idle):
                connection.hang_up()


def _key(endpoint: Endpoint) -> Key:
    remote = endpoint.remote
    return endpoint.host, endpoint.port, remote is not None and remote.tls


def _unreachable(endpoint: Endpoint, what: str) -> EngineLost:
    if endpoint.remote is None:
        return EngineLost(f"The engine {what}.")
    return RemoteUnreachable(f"{endpoint.host} {what}.")
