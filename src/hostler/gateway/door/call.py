"""One inference request as a client's connection hands it over, and the way to answer it."""

from __future__ import annotations

import asyncio
from typing import Final, Protocol

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from hostler.accounts.keys import Principal
from hostler.errors import HostlerError


class Answerer(Protocol):
    """Who is told what happens to a call after it was handed over."""

    def on_gone(self) -> None:
        """The client hung up; nothing that is written reaches it."""
        ...

    def on_full(self) -> None:
        """The client does not keep up: stop writing soon."""
        ...

    def on_writable(self) -> None:
        """The client has caught up."""
        ...


class Asker(Protocol):
    """Who a request is answered to: its call, or who puts the answer into another API's words before the call."""

    headers: dict[bytes, bytes]

    @property
    def context(self) -> int:
        """Tokens that the client wants room for, where its API says that beside :meth:`body`; else 0."""
        ...

    @property
    def answerer(self) -> Answerer | None: ...

    @answerer.setter
    def answerer(self, answerer: Answerer | None) -> None: ...

    def body(self) -> bytes: ...

    def begin(self, status: int, lines: bytes, length: int | None) -> None: ...

    def flush(self) -> None: ...

    def write(self, data: bytes) -> None: ...

    def finish(self) -> None: ...

    def answer(self, status: int, lines: bytes, body: bytes) -> None: ...

    def cut(self, *, unread: bool = False, why: HostlerError | None = None) -> None: ...


class Client(Protocol):
    """The connection that a call came on. ``address`` is where the client is; "" when that is not known."""

    address: str

    @property
    def transport(self) -> asyncio.Transport:
        """What the answer is written to."""
        ...

    def default_lines(self) -> bytes:
        """Header lines of every answer."""
        ...

    def answered(self, call: Call) -> None:
        """The last byte of the answer was written."""
        ...


class _Bell:
    """What uvicorn rings on a cycle; nobody listens here."""

    __slots__ = ()

    def set(self) -> None:
        return


_BELL: Final = _Bell()


class Call:
    """One inference request and the way to answer it.

    The answer is ``begin``, any number of ``write``, and ``finish``; or ``cut``. ``keep_alive``,
    ``response_complete``, ``disconnected`` and ``message_event`` are what uvicorn's protocol looks at.
    """

    __slots__ = (
        "_body", "_chunked", "_client", "_head", "address", "answerer", "disconnected", "extra", "headers",
        "keep_alive", "late", "message_event", "modern", "more_body", "path", "principal", "response_complete",
    )  # fmt: skip

    context = 0

    def __init__(self, client: Client, path: bytes, headers: dict[bytes, bytes], modern: bool) -> None:
        self._client = client
        self._chunked = False
        self._head = b""
        self.address = client.address
        self.path = path
        self.headers = headers
        self.principal: Principal | None = None  # once its head was let in
        self.late = False  # its body came in a later turn of the loop than its head
        self.modern = modern
        self.keep_alive = modern
        self.extra = b""  # header lines of whatever is answered
        self._body: bytes | bytearray = b""
        self.more_body = True
        self.answerer: Answerer | None = None
        self.disconnected = False
        self.response_complete = False
        self.message_event = _BELL

    def take(self, piece: bytes) -> int:
        """Keep a piece of the body; how many bytes there are now."""
        # Not a list: a body in chunks of two bytes each would take twenty times its size.
        if not self._body:
            self._body = piece
        elif isinstance(self._body, bytearray):
            self._body += piece
        else:
            self._body = bytearray(self._body) + piece
        return len(self._body)

    @property
    def size(self) -> int:
        """Bytes of the body that are here."""
        return len(self._body)

    def body(self) -> bytes:
        """The whole body, given once."""
        body, self._body = self._body, b""
        return bytes(body)

    def begin(self, status: int, lines: bytes, length: int | None) -> None:
        """Make the head; ``lines`` are whole header lines. Without ``length`` the body is as long as it gets.

        It waits for the first body bytes, because every write is a system call; :meth:`flush` sends it alone.
        """
        if status in (204, 304):
            framing = b""
        elif length is not None:
            framing = b"content-length: %d\r\n" % length
        elif self.modern:
            self._chunked = True
            framing = b"transfer-encoding: chunked\r\n"
        else:
            self.keep_alive = False
            framing = b""
        if not self.keep_alive:
            framing += b"connection: close\r\n"
        self._head = b"".join((STATUS_LINE[status], self._client.default_lines(), self.extra, lines, framing, b"\r\n"))

    def flush(self) -> None:
        """Send the head if it still waits."""
        if self._head:
            self._client.transport.write(self._head)
            self._head = b""

    def write(self, data: bytes) -> None:
        """Send body bytes."""
        if self._chunked:
            data = b"%b%x\r\n%b\r\n" % (self._head, len(data), data)
        elif self._head:
            data = self._head + data
        self._head = b""
        self._client.transport.write(data)

    def finish(self) -> None:
        """The body is complete."""
        if self._chunked:
            self._client.transport.write(self._head + b"0\r\n\r\n")
        elif self._head:
            self.flush()
        self.response_complete = True
        self.answerer = None
        self._client.answered(self)

    def answer(self, status: int, lines: bytes, body: bytes) -> None:
        """A whole answer at once."""
        self.begin(status, lines, len(body))
        self.write(body)
        self.finish()

    def cut(self, *, unread: bool = False, why: HostlerError | None = None) -> None:
        """Break off so that the client can tell: the connection closes without the body's end.

        ``unread``: also throw away what was written and the client has not read. ``why`` is for who can still say it.
        """
        self.flush()
        self.response_complete = True
        self.answerer = None
        if unread:
            self._client.transport.abort()
        else:
            self._client.transport.close()
