"""Bodies that are forms (audio, images): the two fields that the gateway looks at, found without a copy of the rest.

Sources: RFC 7578; RFC 2046, 5.1; RFC 6266, 4.1. The body is one buffer, bounded as every body is; the parts with files
in it are skipped by looking for the next boundary. What the engine gets is the client's bytes, but for its `model`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from hostler.errors import InvalidRequest
from hostler.gateway.asking.peek import Peek

PARTS: Final = 256
HEAD: Final = 8 * 2**10
VALUE: Final = 1000

_BOUNDARY = re.compile(rb'(?i)^multipart/form-data\s*;.*?\bboundary=(?:"([^"\r\n]{1,70})"|([^\s;",]{1,70}))')
_DISPOSITION = re.compile(rb"(?i)^content-disposition:[ \t]*([^;\r\n]*)", re.MULTILINE)
#: A parameter: its name, and its value, if any, in quotes (a backslash takes what follows as it is) or without them.
_PARAMETER = re.compile(rb'[ \t]*;[ \t]*([^\s=;"]*)(?:[ \t]*=[ \t]*(?:"((?:[^"\\\r\n]|\\[^\r\n])*)"|([^\s;"]*)))?')
_ESCAPED = re.compile(rb"\\(.)")


class Part(NamedTuple):
    """A field of a form: its name, and where its value begins and ends."""

    name: bytes
    start: int
    end: int


def peek_form(body: bytes, kind: bytes) -> Peek:
    """What the gateway must know of a form whose Content-Type is ``kind``; raises InvalidRequest."""
    fields: dict[bytes, Part] = {}
    for part in _parts(body, kind):
        if part.name in (b"model", b"stream"):
            fields.setdefault(part.name, part)
    model, stream = (_text(body, fields.get(name)) for name in (b"model", b"stream"))
    return Peek(model=model, stream=None if stream is None else stream.lower() in ("true", "1"))


def renamed_form(body: bytes, kind: bytes, model: str) -> bytes:
    """``body`` with ``model`` as the value of every field of that name."""
    pieces: list[bytes | memoryview] = []
    at = 0
    for part in _parts(body, kind):
        if part.name == b"model":
            pieces += [memoryview(body)[at : part.start], model.encode()]
            at = part.end
    return b"".join((*pieces, memoryview(body)[at:])) if pieces else body


def _parts(body: bytes, kind: bytes) -> Iterator[Part]:
    mark = b"--" + _boundary(kind)
    at = body.find(mark)
    for _ in range(PARTS):
        if at < 0:
            break
        at += len(mark)
        if body.startswith(b"--", at):
            return
        start = body.find(b"\r\n\r\n", at, at + HEAD) + 4
        end = body.find(b"\r\n" + mark, start) if start > 3 else -1
        if end < 0:
            break
        yield Part(_name(body, at, start), start, end)
        at = end + 2
    raise InvalidRequest("The form breaks off, has too many parts, or one with too long a head.")


def _name(body: bytes, at: int, end: int) -> bytes:
    """The field's name as a part's head says it; the first of several."""
    found = _DISPOSITION.search(body, at, end)
    while found is not None:
        at = found.end()
        found = _PARAMETER.match(body, at, end)
        if found is not None and found[1].lower() == b"name":
            return found[3] or b"" if found[2] is None else _ESCAPED.sub(rb"\1", found[2])
    return b""


def _boundary(kind: bytes) -> bytes:
    found = _BOUNDARY.match(kind)
    if found is None:
        raise InvalidRequest(
            "The body has to be a form.", hint="Send it as multipart/form-data, as clients of the OpenAI API do."
        )
    return found[1] or found[2]


def _text(body: bytes, part: Part | None) -> str | None:
    if part is None:
        return None
    value = body[part.start : min(part.end, part.start + VALUE)]
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"The field {part.name.decode()} is not UTF-8: {error.reason}.") from None
