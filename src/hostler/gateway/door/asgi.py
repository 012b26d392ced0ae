"""The words of ASGI, as far as they are used here."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping

from hostler.errors import BodyTooLarge

Message = MutableMapping[str, object]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Message, Receive, Send], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]


class ClientGone(Exception):
    """The client hung up before its request was whole."""


def headers_of(scope: Message) -> Headers:
    """The header lines of a request; names are lower case."""
    headers = scope["headers"]
    assert isinstance(headers, list)
    return headers


async def body_of(receive: Receive, limit: int) -> bytes:
    """The whole body. Raises BodyTooLarge, and ClientGone."""
    pieces: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        piece = message.get("body", b"")
        assert isinstance(piece, bytes)
        pieces.append(piece)
        size += len(piece)
        if size > limit:
            raise BodyTooLarge(f"The body is over the limit of {limit} bytes.")
        if not message.get("more_body"):
            return b"".join(pieces)
