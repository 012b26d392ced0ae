"""What some answers pass through on their way to the client: one method call a piece, for those that need it alone.

An engine of somebody else's (a program, a remote) tells what a stream took only when asked by `include_usage`. It is
asked then, for the ledger, and the client, who did not ask, does not get the chunk that says it. What profiles with
`capture = true` are asked and answer is kept.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, Protocol

import msgspec
from msgspec import Raw

from hostler.fleet.protocol import Served
from hostler.gateway.asking.peek import Peek
from hostler.gateway.routes import Route
from hostler.ledger.captures import Captures

Write = Callable[[bytes], None]

#: Half an event that is longer is passed on as it is.
EVENT_LIMIT: Final = 2**20

_APIS: Final = ("chat", "completions")
_END: Final = re.compile(rb"(?:\r?\n){2}")
_NO_CHOICES: Final = re.compile(rb'"choices"\s*:\s*\[\s*\]')
_OPTION: Final = "stream_options"


class Outlet(msgspec.Struct, frozen=True):
    """Where an answer goes: to its client, and to captures, where there are any."""

    request: str
    write: Write
    captures: Captures | None


class Tap(Protocol):
    """Between an engine's answer and its client."""

    def write(self, data: bytes) -> None:
        """A piece of the body came; never empty."""
        ...

    def end(self) -> None:
        """The body is complete."""
        ...


class _Options(msgspec.Struct):
    include_usage: bool | None = None


class _Chunk(msgspec.Struct):
    choices: tuple[Raw, ...] | None = None
    usage: dict[str, Raw] | None = None


_fields = msgspec.json.Decoder(dict[str, Raw])
_options = msgspec.json.Decoder(dict[str, Raw])
_asked = msgspec.json.Decoder(_Options)
_chunk = msgspec.json.Decoder(_Chunk)


class Plain:
    """Hands everything to ``write``."""

    __slots__ = ("write",)

    def __init__(self, write: Write) -> None:
        self.write = write

    def end(self) -> None:
        return


def tapped(served: Served, route: Route, asked: Peek, body: bytes, out: Outlet) -> tuple[bytes, Tap | None]:
    """The body that the engine gets, and what its answer passes through; usually as it is, and nothing."""
    fuller = None
    if not served.counts and asked.stream is True and route.api in _APIS:
        fuller = with_usage(body)
    write, made = out.write, body if fuller is None else fuller
    if out.captures is not None:
        if served.capture:
            write = out.captures.open(out.request, b"" if route.form else made).before(write)
        else:
            out.captures.forget(out.request)
    if fuller is not None:
        return made, Unasked(write)
    return made, Plain(write) if write is not out.write else None


def with_usage(body: bytes) -> bytes | None:
    """``body``, a JSON object, asking for usage; None when it does so already, or its options are none."""
    fields = _fields.decode(body)
    said = fields.get(_OPTION, Raw(b"{}"))
    if bytes(said).strip() == b"null":
        said = Raw(b"{}")
    try:
        if _asked.decode(said).include_usage:
            return None
        options = _options.decode(said)
    except msgspec.DecodeError:
        return None  # the engine's to refuse
    fields[_OPTION] = Raw(msgspec.json.encode(options | {"include_usage": Raw(b"true")}))
    return msgspec.json.encode(fields)


class Unasked:
    """Leaves out the chunk of a stream that has usage and no choices. What is not a stream passes whole, at its end."""

    __slots__ = ("_held", "_write")

    def __init__(self, write: Write) -> None:
        self._write = write
        self._held = b""

    def write(self, data: bytes) -> None:
        held, at, kept = self._held + data, 0, []
        for end in _END.finditer(held):
            event, at = held[at : end.end()], end.end()
            if not _is_usage(event):
                kept.append(event)
        self._held = held[at:]
        if len(self._held) > EVENT_LIMIT:
            kept.append(self._held)
            self._held = b""
        if kept:
            self._write(b"".join(kept))

    def end(self) -> None:
        held, self._held = self._held, b""
        if held:
            self._write(held)


def _is_usage(event: bytes) -> bool:
    if not event.startswith(b"data:") or _NO_CHOICES.search(event) is None:
        return False
    try:
        chunk = _chunk.decode(event[5:].strip())
    except msgspec.DecodeError:
        return False
    return chunk.usage is not None and chunk.choices == ()
