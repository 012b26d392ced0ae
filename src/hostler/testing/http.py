"""A small HTTP/1.1 client for tests that hides nothing: raw heads, arrival of each chunk, hang-ups.

It never pools, retries or decodes; a response that breaks off is told as such (``complete`` is False).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

Address = tuple[str, int]
Body = bytes | Mapping[str, object] | None


class Broken(Exception):
    """The peer answered no HTTP, or nothing at all."""


@dataclass(frozen=True)
class Head:
    """Status and headers of a response; names in lower case, the raw bytes beside."""

    status: int
    headers: dict[str, str]
    raw: bytes


@dataclass(frozen=True)
class Response:
    """A whole response. ``complete`` is False when the connection ended before its body did."""

    status: int
    headers: dict[str, str]
    body: bytes
    complete: bool = True
    raw_head: bytes = b""

    def json(self) -> dict[str, object]:
        """The body's object."""
        value: dict[str, object] = json.loads(self.body)
        return value

    def events(self) -> list[Event]:
        """The body's server-sent events."""
        return parse_events(self.body)


@dataclass(frozen=True)
class Chunk:
    """A piece of a body as framed by the sender, and when it was here (the loop's clock, seconds)."""

    data: bytes
    at: float


@dataclass(frozen=True)
class Event:
    """One server-sent event; a comment has neither name nor data."""

    name: str
    data: str
    comment: str = ""

    def json(self) -> dict[str, object]:
        """The data's object."""
        value: dict[str, object] = json.loads(self.data)
        return value


def parse_events(body: bytes) -> list[Event]:
    """Every event and comment of an event stream, in order."""
    found: list[Event] = []
    for block in body.decode("utf-8", "replace").replace("\r\n", "\n").split("\n\n"):
        lines = [line.partition(":") for line in block.split("\n") if line]
        fields = {name: value.removeprefix(" ") for name, _, value in lines if name}
        comments = [value.strip() for name, _, value in lines if not name]
        found += [Event("", "", text) for text in comments]
        if fields:
            found.append(Event(fields.get("event", ""), fields.get("data", "")))
    return found


def encode(method: str, path: str, address: Address, body: Body, headers: Mapping[str, str] | None) -> bytes:
    """A request's bytes; an object becomes JSON, and length and host are added unless given."""
    payload = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = {"host": f"{address[0]}:{address[1]}"}
    if body is not None:
        lines |= {"content-type": "application/json", "content-length": str(len(payload))}
    lines |= {name.lower(): value for name, value in (headers or {}).items()}
    text = f"{method} {path} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return text.encode("latin-1") + b"\r\n" + payload


def bearer(key: str) -> dict[str, str]:
    """The header that carries a key."""
    return {"authorization": f"Bearer {key}"}


@dataclass(eq=False)
class Exchange:
    """One request on its own connection: the head is here, the body comes as it is read.

    Reading nothing makes a slow reader; :meth:`hang_up` ends the connection with a reset.
    """

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    head: Head = field(default_factory=lambda: Head(0, {}, b""))
    complete: bool = False

    @property
    def status(self) -> int:
        """The status."""
        return self.head.status

    @property
    def headers(self) -> dict[str, str]:
        """The headers, names in lower case."""
        return self.head.headers

    async def read_head(self) -> Head:
        """Read the head, 1xx ones skipped; raises Broken."""
        while True:
            try:
                raw = await self.reader.readuntil(b"\r\n\r\n")
            except (asyncio.IncompleteReadError, ConnectionError) as error:
                raise Broken("the connection ended before a head") from error
            self.head = _parse_head(raw)
            if self.head.status >= 200:
                return self.head

    async def chunks(self) -> AsyncIterator[Chunk]:
        """The body's pieces. Ends silently where the connection breaks off: see ``complete``."""
        clock = asyncio.get_running_loop().time
        try:
            async for data in self._pieces():
                yield Chunk(data, clock())
        except (asyncio.IncompleteReadError, ConnectionError):
            self.complete = False

    async def _pieces(self) -> AsyncIterator[bytes]:
        if self.headers.get("transfer-encoding") == "chunked":
            while size := int((await self.reader.readuntil(b"\r\n")).split(b";")[0], 16):
                yield (await self.reader.readexactly(size + 2))[:-2]
            await self.reader.readuntil(b"\r\n")
        elif self.status in (204, 304):
            pass  # there is never a body
        elif "content-length" in self.headers:
            yield await self.reader.readexactly(int(self.headers["content-length"]))
        else:
            while data := await self.reader.read(65536):
                yield data
        self.complete = True

    async def read(self) -> Response:
        """The rest of the body, as a whole response."""
        body = b"".join([chunk.data async for chunk in self.chunks()])
        return Response(self.status, self.headers, body, self.complete, self.head.raw)

    async def events(self) -> AsyncIterator[Event]:
        """Events and comments as they arrive."""
        waiting = b""
        async for chunk in self.chunks():
            waiting += chunk.data
            whole, blank, waiting = waiting.rpartition(b"\n\n")
            for event in parse_events(whole + blank):
                yield event

    def hang_up(self) -> None:
        """End the connection at once."""
        self.writer.transport.abort()


def _parse_head(raw: bytes) -> Head:
    try:
        first, *lines = raw[:-4].decode("latin-1").split("\r\n")
        version, status, *_ = first.split(" ")
        headers = {name.strip().lower(): value.strip() for name, value in (line.split(":", 1) for line in lines)}
        if not version.startswith("HTTP/1."):
            raise ValueError(version)
        return Head(int(status), headers, raw)
    except ValueError as error:
        raise Broken(f"no HTTP: {raw[:60]!r}") from error


@asynccontextmanager
async def connected(address: Address, *, receive_buffer: int | None = None) -> AsyncIterator[Exchange]:
    """A bare connection: write what you like to ``writer`` (slowly, in halves), read heads and bodies.

    ``receive_buffer`` bytes of socket buffer and of stream limit make backpressure reach the sender soon.
    """
    reader, writer = await asyncio.open_connection(*address, limit=receive_buffer or 2**20)
    if receive_buffer:
        import socket

        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    try:
        yield Exchange(reader, writer)
    finally:
        writer.transport.abort()


@asynccontextmanager
async def stream(
    address: Address, method: str, path: str, body: Body = None, headers: Mapping[str, str] | None = None
) -> AsyncIterator[Exchange]:
    """Send a request, read the head; leaving the block before the end is a hang-up. Raises Broken."""
    async with connected(address) as exchange:
        exchange.writer.write(encode(method, path, address, body, headers))
        await exchange.read_head()
        yield exchange


async def request(
    address: Address,
    method: str,
    path: str,
    body: Body = None,
    headers: Mapping[str, str] | None = None,
    timeout_s: float = 60.0,
) -> Response:
    """One whole exchange on a fresh connection; raises Broken, TimeoutError, OSError."""
    async with asyncio.timeout(timeout_s), stream(address, method, path, body, headers) as exchange:
        if method == "HEAD":
            return Response(exchange.status, exchange.headers, b"", True, exchange.head.raw)
        return await exchange.read()
