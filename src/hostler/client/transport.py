"""One HTTP connection pool to one gateway; every failure becomes an error of the tree."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

import msgspec

from hostler.client.problems import from_body
from hostler.errors import HostlerError, NoGateway

if TYPE_CHECKING:
    import ssl

    import httpx

T = TypeVar("T")

CONNECT_S = 5.0
# Loads and answers take as long as they take; only connecting is bounded. Ctrl-C ends a wait.
PATIENCE_S = None
LOOPBACK = ("127.", "localhost", "[::1]", "::1")


class ConnectionLost(HostlerError):
    """The connection to the gateway broke in the middle of an answer."""

    code = "connection_lost"
    default_hint = "`hostler ps` shows whether the gateway still runs."


class Transport:
    """Sends requests to the gateway at ``url``; ``key`` goes into the Authorization header.

    Raises NoGateway when nothing answers there, ConnectionLost when it stops in the middle, and the
    gateway's own error when it refuses.
    """

    def __init__(self, url: str, key: str | None = None) -> None:
        _leave_out_its_command_line()
        import httpx

        self.url = url.rstrip("/")
        headers = {"authorization": f"Bearer {key}"} if key else {}
        host = urlsplit(self.url).hostname or ""
        self._http = httpx.AsyncClient(
            base_url=self.url,
            headers=headers,
            timeout=httpx.Timeout(PATIENCE_S, connect=CONNECT_S),
            # A proxy in the environment is not meant for the gateway on this machine.
            trust_env=not host.startswith(LOOPBACK),
            verify=_trust(self.url),
        )

    async def close(self) -> None:
        """Close all connections."""
        await self._http.aclose()

    async def get(self, path: str, kind: type[T], **query: str | int | None) -> T:
        """The JSON answer to a GET, as ``kind``."""
        return _decoded(await self._send("GET", path, query), kind)

    async def post(self, path: str, kind: type[T], body: msgspec.Struct | None = None, *, behind: bool = False) -> T:
        """The JSON answer to a POST of ``body``, as ``kind``; ``behind`` asks for it before the work is done."""
        return _decoded(await self._send("POST", path, {"async": "true"} if behind else {}, body), kind)

    async def delete(self, path: str, kind: type[T]) -> T:
        """The JSON answer to a DELETE, as ``kind``."""
        return _decoded(await self._send("DELETE", path, {}), kind)

    async def get_bytes(self, path: str, **query: str | int | None) -> bytes:
        """The answer to a GET as it came."""
        return await self._send("GET", path, query)

    async def get_any_status(self, path: str) -> bytes:
        """The body whatever the status; for reports that use the status as a summary."""
        with self._failures():
            return (await self._http.get(path)).content

    async def _send(
        self, method: str, path: str, query: dict[str, str | int | None], body: msgspec.Struct | None = None
    ) -> bytes:
        content = None if body is None else msgspec.json.encode(body)
        headers = {"content-type": "application/json"} if content else {}
        params = {name: value for name, value in query.items() if value is not None}
        with self._failures():
            answer = await self._http.request(method, path, params=params, content=content, headers=headers)
        if answer.status_code >= 400:
            raise from_body(answer.status_code, answer.content, answer.headers.get("retry-after"))
        return answer.content

    @asynccontextmanager
    async def lines(
        self, method: str, path: str, *, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> AsyncIterator[AsyncIterator[str]]:
        """The lines of a streamed answer. Leaving the block closes the connection at once."""
        sent = dict(headers or {})
        if body is not None:
            sent["content-type"] = "application/json"
        with self._failures():
            async with self._http.stream(method, path, content=body, headers=sent) as answer:
                if answer.status_code >= 400:
                    refusal = await answer.aread()
                    raise from_body(answer.status_code, refusal, answer.headers.get("retry-after"))
                yield _lines(answer)

    @contextmanager
    def _failures(self) -> Iterator[None]:
        import httpx

        try:
            yield
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise NoGateway(f"No gateway runs at {self.url}.") from error
        except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
            raise NoGateway(f"{self.url} is not an address of a gateway.", hint="Write http://HOST:PORT.") from error
        except httpx.HTTPError as error:
            raise ConnectionLost(f"The gateway at {self.url} broke the connection off.") from error


def _leave_out_its_command_line() -> None:
    """httpx imports a command line of its own where Rich and Click are there, which takes a third of its import; an
    entry of None makes that an ImportError, which it expects."""
    sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]  # what the import system means by None


async def _lines(answer: httpx.Response) -> AsyncIterator[str]:
    # httpx splits at every Unicode line separator; an event stream ends its lines at CR and LF only.
    rest = b""
    async for piece in answer.aiter_bytes():
        *done, rest = (rest + piece).split(b"\n")
        for line in done:
            yield line.removesuffix(b"\r").decode("utf-8", "replace")
    if rest:
        yield rest.decode("utf-8", "replace")


def _decoded(body: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise HostlerError(
            f"The answer is not what this version expects: {error}.",
            hint="Is it a Hostler gateway, of the same version? `hostler version` tells.",
        ) from error


def _trust(url: str) -> ssl.SSLContext | bool:
    """Certificates are read from disk only when the address needs them; plain HTTP gets an empty store."""
    if url.startswith("https:"):
        return True
    import ssl

    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
