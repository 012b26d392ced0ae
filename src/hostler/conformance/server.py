"""The server that is tried: raw HTTP on a connection of its own for each request, so that hang-ups are real."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import msgspec

from hostler.errors import NoGateway
from hostler.testing import http

CONNECT_S = 10.0


class Server(msgspec.Struct, frozen=True, kw_only=True):
    """An address; ``prefix`` is the path before ``/v1``, ``key`` goes into the Authorization header."""

    host: str
    port: int
    prefix: str = ""
    secure: bool = False
    key: str = ""

    @classmethod
    def at(cls, url: str, key: str = "") -> Server:
        """From ``http://host:port``, with or without ``/v1``. Raises NoGateway for what is no such address."""
        parts = urlsplit(url)
        try:
            port = parts.port or (443 if parts.scheme == "https" else 80)
        except ValueError:
            port = 0
        if parts.scheme not in ("http", "https") or not parts.hostname or not port:
            raise NoGateway(f"{url} is not an address of a server.", hint="Write http://HOST:PORT.")
        prefix = parts.path.rstrip("/").removesuffix("/v1")
        return cls(host=parts.hostname, port=port, prefix=prefix, secure=parts.scheme == "https", key=key)

    def request_bytes(self, method: str, path: str, body: http.Body, headers: Mapping[str, str] | None) -> bytes:
        """A whole request."""
        given = {**(http.bearer(self.key) if self.key else {}), **(headers or {})}
        return http.encode(method, self.prefix + path, (self.host, self.port), body, given)

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[http.Exchange]:
        """A bare connection, ended with the block. Raises OSError or TimeoutError."""
        async with asyncio.timeout(CONNECT_S):
            reader, writer = await asyncio.open_connection(
                self.host, self.port, ssl=True if self.secure else None, limit=2**20
            )
        try:
            yield http.Exchange(reader, writer)
        finally:
            writer.transport.abort()

    @asynccontextmanager
    async def stream(
        self, method: str, path: str, body: http.Body = None, headers: Mapping[str, str] | None = None
    ) -> AsyncIterator[http.Exchange]:
        """Send a request and read the head; leaving the block early is a hang-up."""
        async with self.connected() as exchange:
            exchange.writer.write(self.request_bytes(method, path, body, headers))
            await exchange.read_head()
            yield exchange

    async def request(
        self,
        method: str,
        path: str,
        body: http.Body = None,
        headers: Mapping[str, str] | None = None,
        within_s: float = 60.0,
    ) -> http.Response:
        """One whole exchange. Raises Broken, TimeoutError or OSError."""
        async with asyncio.timeout(within_s), self.stream(method, path, body, headers) as exchange:
            return await exchange.read()
