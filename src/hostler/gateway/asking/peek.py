"""What the gateway must know of a request body: read once by msgspec, which also proves that it is a JSON object."""

from __future__ import annotations

from typing import TypeVar

import msgspec
from msgspec import Raw, UnsetType

from hostler.errors import InvalidRequest
from hostler.fleet.protocol import Place
from hostler.gateway.asking.checks.telling import told

Absent = Raw | UnsetType


class Peek(msgspec.Struct, gc=False):
    """The fields that the gateway looks at in every body; `asking/checks/` adds those of each API."""

    model: str | None = None
    stream: bool | None = None


Body = TypeVar("Body", bound=Peek)

_decoder = msgspec.json.Decoder(Peek)


def peek(body: bytes) -> Peek:
    """Read ``body``; raises InvalidRequest that says what is wrong, in which field or at which byte."""
    return peeked(body, _decoder)


def peeked(body: bytes, decoder: msgspec.json.Decoder[Body]) -> Body:
    """The same, of a body of which more is declared."""
    if not body:
        raise InvalidRequest("The body is empty.", hint='Send a JSON object, such as {"model": "NAME", ...}.')
    try:
        if not body.isascii():
            body.decode()
        return decoder.decode(body)
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"The body is not UTF-8: {error.reason} at byte {error.start}.") from None
    except msgspec.ValidationError as error:
        raise told(error) from None
    except msgspec.DecodeError as error:
        raise InvalidRequest(f"The body is not JSON: {_plain(error)}.") from None
    except RecursionError:
        raise InvalidRequest("The body is nested too deeply.") from None


def _plain(error: msgspec.DecodeError) -> str:
    return str(error).removeprefix("JSON is malformed: ")


def placed(body: bytes, place: Place) -> tuple[memoryview, bytes]:
    """``body`` with the slot it goes to, behind everything that the client says: of two the engine takes the last.

    In two pieces, because a conversation of an agent is long and would have to be copied.
    """
    end = body.rindex(b"}")
    while body[end - 1] in b" \t\r\n":
        end -= 1
    comma = b"" if body[end - 1 : end] == b"{" else b","
    fresh = b',"cache_prompt":false' if place.fresh else b""
    return memoryview(body)[:end], b'%b"id_slot":%d%b}' % (comma, place.slot, fresh)
