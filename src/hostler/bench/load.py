"""A load generator on bare sockets, light enough not to be what is measured; every answer is checked."""

from __future__ import annotations

import asyncio
import re
import time
from typing import Final, cast

import msgspec

_LENGTH: Final = re.compile(rb"(?i)\r\ncontent-length: (\d+)\r\n")
_STREAM_END: Final = b"data: [DONE]\n\n"


class Target(msgspec.Struct, frozen=True):
    """Where to send requests; an empty key sends none."""

    host: str
    port: int
    key: str = ""


class Shape(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of load: ``clients`` connections, each sending ``requests`` one after the other.

    ``tokens`` is the length of each answer; ``rate`` paces a stream (tokens/s), 0 is as fast as it goes.
    """

    name: str
    clients: int
    requests: int
    tokens: int
    stream: bool
    rate: float = 0.0

    def body(self, model: str) -> bytes:
        asked: dict[str, object] = {
            "model": model,
            "messages": [{"role": "user", "content": "Tell me of the sea."}],
            "max_tokens": self.tokens,
            "stream": self.stream,
        }
        if self.rate:
            asked["fake"] = {"rate": self.rate}
        return msgspec.json.encode(asked)

    @property
    def answers(self) -> int:
        return self.clients * self.requests

    @property
    def chunks(self) -> int:
        return self.answers * self.tokens if self.stream else 0


class WrongAnswer(Exception):
    """A response was not what the load asked for; a measurement with one is worth nothing."""


class Loader(asyncio.Protocol):
    """One client: sends a request, checks the answer, sends the next."""

    def __init__(self, request: bytes, shape: Shape) -> None:
        self._request = request
        self._shape = shape
        self._left = shape.requests
        self._received: list[bytes] = []
        self._missing: int | None = None
        self._end = b""
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def start(self) -> None:
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._received.append(data)
        if self._shape.stream:
            self._end = (self._end + data)[-7:]
            if self._end == b"\r\n0\r\n\r\n":
                self._complete()
            return
        if self._missing is None:
            self._missing = self._expected()
        if self._missing is not None and sum(map(len, self._received)) >= self._missing:
            self._complete()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(WrongAnswer(f"the connection closed before the answer was complete ({exc})"))

    def _expected(self) -> int | None:
        """Bytes of the whole response, once its head is there."""
        raw = b"".join(self._received)
        end = raw.find(b"\r\n\r\n")
        if end < 0:
            return None
        length = _LENGTH.search(raw, 0, end + 2)
        return end + 4 + (int(length[1]) if length else 0)

    def _complete(self) -> None:
        raw = b"".join(self._received)
        self._received, self._missing, self._end = [], None, b""
        try:
            self._check(raw)
        except WrongAnswer as wrong:
            self.done.set_exception(wrong)
            self._transport.abort()
            return
        self._left -= 1
        if self._left:
            self._transport.write(self._request)
        else:
            self.done.set_result(None)
            self._transport.close()

    def _check(self, raw: bytes) -> None:
        if not raw.startswith(b"HTTP/1.1 200 "):
            raise WrongAnswer(raw[:300].decode("latin-1"))
        if self._shape.stream:
            # A first event with the role, one per token, a last one with the reason, then [DONE].
            events = raw.count(b"data: {")
            if events < self._shape.tokens or events > self._shape.tokens + 3 or _STREAM_END not in raw:
                raise WrongAnswer(f"{events} events instead of {self._shape.tokens}: {raw[-300:]!r}")
        elif b'"completion_tokens":%d' % self._shape.tokens not in raw.replace(b": ", b":"):
            raise WrongAnswer(raw[-400:].decode("latin-1"))


async def measure(target: Target, shape: Shape, model: str) -> float:
    """Seconds from the first request to the last answer; raises WrongAnswer or OSError."""
    body = shape.body(model)
    key = f"Authorization: Bearer {target.key}\r\n" if target.key else ""
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nHost: {target.host}:{target.port}\r\n{key}"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode()
    loop = asyncio.get_running_loop()
    loaders = [
        (await loop.create_connection(lambda: Loader(head + body, shape), target.host, target.port))[1]
        for _ in range(shape.clients)
    ]
    began = time.perf_counter()
    for loader in loaders:
        loader.start()
    await asyncio.gather(*(loader.done for loader in loaders))
    return time.perf_counter() - began
