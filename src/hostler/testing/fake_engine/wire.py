"""The connection: HTTP/1.1 by hand, in the shape of llama.cpp's server and with every talking switch."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from hostler.testing.fake_engine.switches import Switches

REASONS = {
    200: "OK",
    400: "Bad Request",
    401: "Unauthorized",
    404: "Not Found",
    415: "Unsupported Media Type",
    429: "Too Many Requests",
    500: "Internal Server Error",
    501: "Not Implemented",
    503: "Service Unavailable",
}
JSON = "application/json; charset=utf-8"
MAX_HEAD = 64 * 1024


@dataclass(slots=True)
class Request:
    """One request; header names are in lower case."""

    method: str
    path: str
    query: str
    headers: dict[bytes, bytes]
    body: bytes = b""


class BadRequest(Exception):
    """Not HTTP."""


def parse_head(head: bytes) -> tuple[Request, bool]:
    """A request without its body, and whether the client wants the connection kept; raises BadRequest."""
    first, *lines = head.split(b"\r\n")
    try:
        method, target, version = first.split(b" ")
        headers = {name.lower(): value.strip() for name, value in (line.split(b":", 1) for line in lines)}
    except ValueError as error:
        raise BadRequest from error
    if not version.startswith(b"HTTP/1."):
        raise BadRequest
    path, _, query = target.decode("latin-1").partition("?")
    keep = headers.get(b"connection", b"").lower() != b"close" and version != b"HTTP/1.0"
    return Request(method.decode("latin-1"), path, query, headers), keep


def take_chunked(buffer: bytearray, start: int) -> tuple[bytes, int] | None:
    """The body in chunks that begins at ``start`` and where it ends, or None when it is not all there."""
    parts: list[bytes] = []
    while True:
        end = buffer.find(b"\r\n", start)
        if end < 0:
            return None
        size = int(buffer[start:end].split(b";")[0], 16)
        start = end + 2
        if len(buffer) < start + size + 2:
            return None
        parts.append(bytes(buffer[start : start + size]))
        start += size + 2
        if size == 0:
            return b"".join(parts), start


class Connection(asyncio.Protocol):
    """One client. Requests are answered one after the other; ``serve`` gets each and answers through us."""

    def __init__(self, switches: Switches, serve: Callable[[Connection, Request], None]) -> None:
        self.switches = switches
        self.base_switches = switches
        self._serve = serve
        self._buffer = bytearray()
        # Clients that keep a connection mostly send the same head again.
        self._last_head = b""
        self._answering = False
        self._closing = False
        self._keep = True
        self._served = 0
        self._origin = ""
        self._idle: asyncio.TimerHandle | None = None
        self._pieces: deque[bytes] = deque()
        self._random = random.Random(switches.seed)
        self._paused = False
        self._framed = True
        self.lost = False
        self.on_lost: Callable[[], None] | None = None
        self.on_room: Callable[[], None] | None = None

    # The transport's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclasses of asyncio's.
        self.transport = cast(asyncio.Transport, transport)
        self._loop = asyncio.get_running_loop()
        self._arm()

    def connection_lost(self, error: Exception | None) -> None:
        self.lost = True
        self._disarm()
        self._pieces.clear()
        if self.on_lost is not None:
            self.on_lost()

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._offer_room()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._answering:
            self._next()

    # Reading

    def _next(self) -> None:
        while self._buffer and not self._answering and not self._closing:
            try:
                request = self._take()
            except (BadRequest, ValueError):
                self._write(
                    b"HTTP/1.1 400 Bad Request\r\nServer: llama.cpp\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
                )
                self._close()
                return
            if request is None:
                return
            self._begin(request)

    def _take(self) -> Request | None:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(self._buffer) > MAX_HEAD:
                raise BadRequest
            return None
        head = bytes(self._buffer[:end])
        if head != self._last_head:
            self._parsed, self._last_head = parse_head(head), head
        request, keep = self._parsed
        request = Request(request.method, request.path, request.query, request.headers)
        start = end + 4
        if b"transfer-encoding" in request.headers:
            taken = take_chunked(self._buffer, start)
            if taken is None:
                self._expects(request)
                return None
            request.body, stop = taken
        else:
            stop = start + int(request.headers.get(b"content-length", b"0"))
            if len(self._buffer) < stop:
                self._expects(request)
                return None
            request.body = bytes(self._buffer[start:stop])
        del self._buffer[:stop]
        self._keep = keep
        return request

    def _expects(self, request: Request) -> None:
        if b"expect" in request.headers and self._buffer.endswith(b"\r\n\r\n"):
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _begin(self, request: Request) -> None:
        self._disarm()
        self._answering = True
        self._served += 1
        self.switches = self.base_switches
        self._origin = request.headers.get(b"origin", b"").decode("latin-1")
        if 0 < self.switches.drop_reused <= self._served:
            self.transport.abort()
            return
        limit = self.switches.requests_per_connection
        if limit and self._served >= limit:
            self._keep = False
        self._serve(self, request)

    # Answering

    def head(self, status: int, content_type: str, framing: str, *, error: bool = False, extra: str = "") -> bytes:
        """A response's head, in the real one's order of headers; an error ends the connection there too."""
        switches = self.switches
        if switches.garbage_head:
            return b"\x16\x03\x01garbage \xff\xfe\r\n\r\n"
        if error or switches.close_delimited or switches.connection_close:
            self._keep = False
        kept = "Keep-Alive: timeout=5, max=100" if self._keep else "Connection: close"
        padding = f"X-Padding: {'p' * (switches.head_kib * 1024)}\r\n" if switches.head_kib else ""
        before = f"HTTP/1.1 {switches.interim} Early\r\n\r\n" if switches.interim else ""
        framing = "" if switches.close_delimited else framing + "\r\n"
        return (
            f"{before}HTTP/1.1 {status} {REASONS.get(status, 'Unknown')}\r\nServer: llama.cpp\r\n"
            f"Access-Control-Allow-Origin: {self._origin}\r\n{padding}{extra}Content-Type: {content_type}\r\n"
            f"{framing}{kept}\r\n\r\n"
        ).encode("latin-1")

    def answer(self, status: int, body: bytes, content_type: str = JSON, extra: str = "") -> None:
        """A whole response."""
        framing = f"Content-Length: {len(body)}"
        self._write(self.head(status, content_type, framing, error=status >= 400, extra=extra) + body)
        self.end()

    def open_stream(self) -> None:
        """The head of an event stream; :meth:`event` and :meth:`end_stream` follow."""
        self._framed = not self.switches.close_delimited
        extra = "X-Accel-Buffering: no\r\n"
        self._write(self.head(200, "text/event-stream", "Transfer-Encoding: chunked", extra=extra))

    def frame(self, payload: bytes) -> bytes:
        """One chunk, framed as this response is."""
        return b"%x\r\n%b\r\n" % (len(payload), payload) if self._framed else payload

    def send(self, data: bytes) -> None:
        """Write framed bytes."""
        self._write(data)

    def end_stream(self) -> None:
        """The end of an event stream."""
        if self._framed:
            self._write(b"0\r\n\r\n")
        self.end()

    def end(self) -> None:
        """The response is complete: wait for the next request, or close."""
        self._answering = False
        self.on_lost = self.on_room = None
        if not self._keep:
            self._close()
            return
        self._arm()
        if self._buffer:
            self._loop.call_soon(self._next)

    @property
    def has_room(self) -> bool:
        """False while the reader is slower than we are; ``on_room`` is called when that ends."""
        return self.lost or (not self._paused and not self._pieces)

    def _write(self, data: bytes) -> None:
        if self.lost:
            return
        if not self.switches.split:
            self.transport.write(data)
            return
        start, idle = 0, not self._pieces
        while start < len(data):
            stop = start + self._random.randint(1, self.switches.split)
            self._pieces.append(data[start:stop])
            start = stop
        if idle:
            self._send_piece()

    def _send_piece(self) -> None:
        if self.lost or not self._pieces:
            return
        self.transport.write(self._pieces.popleft())
        if self._pieces:
            self._loop.call_later(0.0002, self._send_piece)
        elif self._closing:
            self.transport.close()
        else:
            self._offer_room()

    def _offer_room(self) -> None:
        if self.on_room is not None and self.has_room:
            self.on_room()

    def _close(self) -> None:
        self._closing = True
        if not self._pieces:
            self.transport.close()

    # Idle

    def _arm(self) -> None:
        if self.base_switches.idle_ms and self._idle is None:
            self._idle = self._loop.call_later(self.base_switches.idle_ms / 1e3, self.transport.close)

    def _disarm(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None
