"""One HTTP/1.1 request to an engine on its own connection; for readiness and supervision, not for clients."""

from __future__ import annotations

import anyio
import msgspec

from hostler.engines.protocol import Endpoint

LONGEST = 4 * 2**20


class Answer(msgspec.Struct, frozen=True):
    """Status and body."""

    status: int
    body: bytes


class Broken(Exception):
    """The connection could not be made, broke, or did not carry an HTTP answer."""


async def ask(endpoint: Endpoint, method: str, path: str, body: object = None) -> Answer:
    """Send one request, JSON ``body`` if not None, and read the whole answer (at most 4 MiB).

    Raises Broken. Unbounded in time: the caller bounds it; cancelling closes the connection.
    """
    try:
        async with await anyio.connect_tcp(endpoint.host, endpoint.port) as stream:
            await stream.send(_request(endpoint, method, path, body))
            received = bytearray()
            async for piece in stream:
                received += piece
                if len(received) > LONGEST:
                    raise Broken("the answer is too long")
                if (answer := parsed(bytes(received), ended=False)) is not None:
                    return answer
    except (OSError, anyio.BrokenResourceError, anyio.ClosedResourceError) as error:
        raise Broken(str(error) or type(error).__name__) from error
    answer = parsed(bytes(received), ended=True)
    if answer is None:
        raise Broken("the connection closed before the answer was whole")
    return answer


def _request(endpoint: Endpoint, method: str, path: str, body: object) -> bytes:
    content = b"" if body is None else msgspec.json.encode(body)
    head = (
        f"{method} {path} HTTP/1.1\r\nHost: {endpoint.host}:{endpoint.port}\r\nConnection: close\r\n"
        f"Authorization: Bearer {endpoint.api_key}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(content)}\r\n\r\n"
    )
    return head.encode("ascii") + content


def parsed(data: bytes, *, ended: bool) -> Answer | None:
    """The answer in ``data``, or None while it is not whole. Raises Broken for what is not HTTP."""
    head, found, body = data.partition(b"\r\n\r\n")
    if not found:
        return None
    lines = head.split(b"\r\n")
    status = _status(lines[0])
    if 100 <= status < 200:
        return parsed(body, ended=ended)
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(b":") for line in lines[1:])}
    if headers.get(b"transfer-encoding", b"").lower() == b"chunked":
        whole = _dechunked(body)
        return None if whole is None else Answer(status, whole)
    length = headers.get(b"content-length")
    if length is None:
        return Answer(status, body) if ended else None
    if not length.isdigit():
        raise Broken("the answer has no valid length")
    return Answer(status, body[: int(length)]) if len(body) >= int(length) else None


def _status(line: bytes) -> int:
    parts = line.split(b" ", 2)
    if len(parts) < 2 or not parts[0].startswith(b"HTTP/1.") or not parts[1].isdigit():
        raise Broken("the answer is not HTTP")
    return int(parts[1])


def _dechunked(data: bytes) -> bytes | None:
    """The body out of its chunks, or None while the last one is missing."""
    pieces: list[bytes] = []
    while True:
        size, found, rest = data.partition(b"\r\n")
        if not found:
            return None
        try:
            length = int(size.split(b";")[0], 16)
        except ValueError:
            raise Broken("a chunk has no valid length") from None
        if length == 0:
            return b"".join(pieces)
        if len(rest) < length + 2:
            return None
        pieces.append(rest[:length])
        data = rest[length + 2 :]
