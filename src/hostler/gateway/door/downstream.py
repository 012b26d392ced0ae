"""The client's side of the hot path: uvicorn's protocol, with inference taken out of ASGI.

For an inference request there is no ASGI task, no queue and no message per chunk: the whole body becomes a
:class:`Call`, and whoever answers it writes to the socket. A hang-up is a plain function call in the same
turn of the loop in which the socket tells. Everything else goes uvicorn's way to the ASGI app.

A client that pipelines behind an inference request gets its first answer and a closed connection, which
RFC 9112 (9.3.2) has it retry. A client that half-closes has left: on the wire the two look the same.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final, Protocol, cast

import msgspec
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE
from uvicorn.server import ServerState

from hostler.gateway.door.call import Call
from hostler.gateway.door.parsing import PlainHttp, plain_path
from hostler.gateway.relay.http1 import HEAD_LIMIT

logger = logging.getLogger(__name__)


#: Of those who are too many, so many at a time are told; the rest are cut off.
TOLD: Final = 64


class ClientLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds on clients: head and body in bytes, the head's whole time, silence in a body, bytes a second that a longer
    one must bring, a last read, and a connection between two requests; and how many connections there may be.

    ``idle_s`` is longer than the pools of usual clients keep connections, so that the client closes first.
    """

    head: int = HEAD_LIMIT
    body: int = 64 * 2**20
    head_s: float = 15.0
    body_idle_s: float = 60.0
    body_rate: float = 1024.0
    linger_s: float = 2.0
    idle_s: float = 75.0
    connections: int = 2048


class Desk(Protocol):
    """Takes inference requests."""

    def takes(self, path: bytes) -> bool:
        """Whether a POST to ``path`` is inference."""
        ...

    def open(self, call: Call) -> None:
        """The head is there. May answer at once (wrong key, too large); then no body is read."""
        ...

    def overflow(self, call: Call) -> None:
        """The body is over the limit: answer; no more of it is read."""
        ...

    def start(self, call: Call) -> None:
        """The body is there."""
        ...


class ClientConnection(PlainHttp):
    """A client's connection."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, object],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        desk: Desk,
        limits: ClientLimits,
        turned_away: set[ClientConnection],
    ) -> None:
        """``turned_away`` is shared by all connections: those that were too many and still linger."""
        super().__init__(config, server_state, app_state, _loop)
        self._desk = desk
        self._limits = limits
        self._turned_away = turned_away
        self.address = ""
        self._call: Call | None = None  # the present request, when it is inference
        self._deaf = False
        self._in_head = False
        self._head_size = 0
        self._body_since = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._idle_since = 0.0
        self._idle_timer: asyncio.TimerHandle | None = None

    # The socket.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(cast(asyncio.Transport, transport))
        self.address = "" if self.client is None else str(self.client[0])
        if len(self.connections) > self._limits.connections:
            self._turn_away()
            return
        self._timer = self.loop.call_later(self._limits.head_s, self._too_slow)

    def data_received(self, data: bytes) -> None:
        if self._deaf:
            return
        super().data_received(data)
        if self._in_head:
            self._head_grew(len(data))
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        call = self._call
        if call is not None and call.more_body and not self._deaf:
            call.late = True
            self._timer = self.loop.call_later(self._patience(call), self._too_slow)

    def connection_lost(self, exc: Exception | None) -> None:
        for timer in (self._timer, self._idle_timer):
            if timer is not None:
                timer.cancel()
        self._timer = self._idle_timer = None
        self._deaf = True
        self._turned_away.discard(self)
        super().connection_lost(exc)
        call = self._call
        if call is not None and call.answerer is not None:
            call.answerer.on_gone()

    def pause_writing(self) -> None:
        super().pause_writing()
        call = self._call
        if call is not None and call.answerer is not None:
            call.answerer.on_full()

    def resume_writing(self) -> None:
        super().resume_writing()
        call = self._call
        if call is not None and call.answerer is not None:
            call.answerer.on_writable()

    # The parser.

    def on_message_begin(self) -> None:
        if self._deaf:
            return
        call = self._call
        if call is not None and not call.response_complete:
            self.stop_listening()
            return
        self._in_head = True
        self._head_size = 0
        self.url, self.headers, self.expect_100_continue = b"", [], False

    def on_url(self, url: bytes) -> None:
        if not self._deaf:
            self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._deaf:
            name = name.lower()
            if name == b"expect" and value.lower() == b"100-continue":
                self.expect_100_continue = True
            self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        if self._deaf:
            return
        if self.declines():
            return
        self._in_head = False
        path = self._inference_path()
        if path is None:
            self._call = None
            self._begin_asgi()
            super().on_headers_complete()
        elif self.cycle is not None and not self.cycle.response_complete:
            self.stop_listening()
        else:
            modern = self.parser.get_http_version() == "1.1"
            call = Call(self, path, dict(self.headers), modern)
            call.keep_alive = modern and self.parser.should_keep_alive()
            self._call = call
            self._body_since = self.loop.time()
            self.cycle = call  # type: ignore[assignment]
            self._guarded(call, self._desk.open)
            if call.response_complete:
                self._linger()
            elif self.expect_100_continue:
                self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        if self._deaf:
            return
        call = self._call
        if call is None:
            super().on_body(body)
        elif call.take(body) > self._limits.body:
            self._guarded(call, self._desk.overflow)
            self._linger()

    def on_message_complete(self) -> None:
        if self._deaf or self._offered:
            return
        call = self._call
        if call is None:
            super().on_message_complete()
            return
        call.more_body = False
        self._guarded(call, self._desk.start)
        if self.flow.write_paused and call.answerer is not None:
            call.answerer.on_full()  # the answer before this one is still unread

    def shutdown(self) -> None:
        """Close when idle, else after the present answer."""
        cycle = self.cycle
        if cycle is not None and not cycle.response_complete:
            cycle.keep_alive = False
        else:
            self.transport.close()

    def answered(self, call: Call) -> None:
        """The last byte of an answer was written."""
        if call.more_body or not call.keep_alive:
            if not call.more_body:
                self.transport.close()
            return
        self.server_state.total_requests += 1
        self._idle_since = self.loop.time()
        if self._idle_timer is None:  # uvicorn's own would be made, and taken back, for each request
            self._idle_timer = self.loop.call_later(self._limits.idle_s, self._look_idle)

    def on_response_complete(self) -> None:
        self._idle_since = self.loop.time()
        super().on_response_complete()

    # Inside.

    def _begin_asgi(self) -> None:
        """What uvicorn keeps of a request, from its first line on; inference needs none of it."""
        url, headers, expected = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url, self.expect_100_continue = url, expected
        self.headers.extend(headers)

    def _look_idle(self) -> None:
        """Close what is idle for too long; the timer is moved only when it fires."""
        now, cycle = self.loop.time(), self.cycle
        busy = self._in_head or (cycle is not None and not cycle.response_complete)
        due = (now if busy else self._idle_since) + self._limits.idle_s
        if due > now:
            self._idle_timer = self.loop.call_at(due, self._look_idle)
        else:
            self._idle_timer = None
            self.timeout_keep_alive_handler()

    def _turn_away(self) -> None:
        """This one is too many. It does not count, or those who come again and again would keep others out."""
        self.connections.discard(self)
        if len(self._turned_away) < TOLD:
            self._turned_away.add(self)
            self._reject(503, b"There are too many connections.", b"too_many_connections")
        else:
            self._deaf = True
            self.transport.abort()

    def _inference_path(self) -> bytes | None:
        if self.parser.get_method() != b"POST":
            return None
        path = plain_path(self.url)
        return path if self._desk.takes(path) else None

    def _guarded(self, call: Call, act: Callable[[Call], None]) -> None:
        """A process edge: a bug in one request is loud and costs that request only."""
        try:
            act(call)
        except Exception:
            logger.exception("gateway.bug path=%s", call.path.decode("latin-1"))
            answerer = call.answerer
            if not call.response_complete:
                call.cut()
            if answerer is not None:
                answerer.on_gone()

    def stop_listening(self) -> None:
        self._deaf = True
        self._in_head = False
        self.cycle.keep_alive = False

    def _linger(self) -> None:
        """Answered before the body was read: a close now could destroy the answer on its way (RFC 9112, 9.6)."""
        self._deaf = True
        if self._timer is not None:
            self._timer.cancel()
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._timer = self.loop.call_later(self._limits.linger_s, self.transport.abort)

    def _head_grew(self, count: int) -> None:
        self._head_size += count
        if self._timer is None:
            self._timer = self.loop.call_later(self._limits.head_s, self._too_slow)
        if self._head_size > self._limits.head:
            self._reject(431, b"The head is over %d bytes." % self._limits.head, b"head_too_large")

    def send_400_response(self, msg: str) -> None:
        """What came is no HTTP; uvicorn says so in plain text."""
        self._reject(400, b"This is not HTTP as RFC 9112 has it.", b"invalid_http")

    def _patience(self, call: Call) -> float:
        """Seconds until the next piece of a body must be here: none dribbles in for ever."""
        left = self._limits.body_idle_s + call.size / self._limits.body_rate - (self.loop.time() - self._body_since)
        return max(0.0, min(self._limits.body_idle_s, left))

    def _too_slow(self) -> None:
        self._timer = None
        self._reject(408, b"The request took too long to arrive.", b"request_timeout")

    def _reject(self, status: int, text: bytes, code: bytes) -> None:
        """Answer before there is anything to hand on, and close; who was answered already hears no more."""
        if self._deaf or self.transport.is_closing():
            return
        if self.answering():
            self.stop_listening()
            return
        kind = b"server_error" if status >= 500 else b"invalid_request_error"
        # The form of both OpenAI's and Anthropic's API, as which of them is meant may not be known yet.
        form = b'{"type":"error","error":{"message":"%b","type":"%b","code":"%b","source":"gateway"}}'
        body = form % (text, kind, code)
        head = b"content-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % len(body)
        self.transport.write(STATUS_LINE[status] + self.default_lines() + head + body)
        self._linger()
