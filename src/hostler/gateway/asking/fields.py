"""The top-level fields of a body, for those who edit some of them: read at most once, written at most once."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from operator import attrgetter
from typing import Final

import msgspec
from msgspec import UNSET, Raw

from hostler.gateway.asking.peek import Peek

_read = msgspec.json.Decoder(dict[str, Raw]).decode
_SPACE: Final = b" \t\r\n"


class Fields:
    """``body``, a JSON object of which ``asked`` is known. What nobody edits stays as the client wrote it.

    Values are JSON text. Additions alone are spliced in after the opening brace; only a replaced or dropped field has
    the object written anew, from the same texts.
    """

    __slots__ = ("_added", "_body", "_fields", "asked", "notes")

    def __init__(self, body: bytes, asked: Peek) -> None:
        self._body = body
        self.asked = asked
        self._added: dict[str, bytes] = {}
        self._fields: dict[str, Raw] | None = None  # once the whole object has been read
        self.notes: list[str] = []

    def __contains__(self, name: str) -> bool:
        if name in self._added:
            return True
        if self._fields is None and name in _peeked(self.asked.__class__):
            return getattr(self.asked, name) is not UNSET
        return name in self._all()

    def lack(self, names: tuple[str, str, *tuple[str, ...]]) -> bool:
        """Whether none of several is there, as nearly always."""
        look = _look(self.asked.__class__, names)
        if look is None or self._fields is not None or self._added:
            return not any(name in self for name in names)
        return look(self.asked) == (UNSET,) * len(names)

    def get(self, name: str) -> bytes | None:
        """The text of a field; None when there is none."""
        if name in self._added:
            return self._added[name]
        value = self._all().get(name)
        return None if value is None else bytes(value)

    def set(self, name: str, value: bytes) -> None:
        """Add a field, or replace its value."""
        if name not in self._added and name in self:
            self._all()[name] = Raw(value)
            self._body = b""
        else:
            self._added[name] = value

    def default(self, name: str, value: bytes) -> None:
        """Add a field unless it is there."""
        if name not in self:
            self._added[name] = value

    def drop(self, name: str) -> None:
        """Remove a field if it is there."""
        if self._added.pop(name, None) is None and name in self._all():
            del self._all()[name]
            self._body = b""

    def note(self, text: str) -> None:
        """Tell the client of a change, in the header `X-Hostler-Changed`: visible ASCII without commas."""
        self.notes.append(text)

    def bytes(self) -> bytes:
        """The body as it is now; the very object it was made with when nothing was edited."""
        if not self._body:
            added = {name: Raw(value) for name, value in self._added.items()}
            return msgspec.json.encode(self._all() | added)
        return _spliced(self._body, self._added) if self._added else self._body

    def _all(self) -> dict[str, Raw]:
        if self._fields is None:
            self._fields = _read(self._body)
        return self._fields


#: What one concern does to the body of every request to one profile on one route.
Edit = Callable[[Fields], None]


@cache
def _peeked(kind: type[Peek]) -> frozenset[str]:
    """What is known without another look; of these two `null` is the same as none."""
    return frozenset(kind.__struct_fields__) - {"model", "stream"}


@cache
def _look(kind: type[Peek], names: tuple[str, ...]) -> Callable[[Peek], tuple[object, ...]] | None:
    return attrgetter(*names) if _peeked(kind).issuperset(names) else None


def _spliced(body: bytes, added: dict[str, bytes]) -> bytes:
    brace = body.index(b"{") + 1
    texts = b",".join(b'"%b":%b' % (name.encode(), value) for name, value in added.items())
    comma = b"" if _is_empty(body, brace) else b","
    return b"".join((body[:brace], texts, comma, memoryview(body)[brace:]))


def _is_empty(body: bytes, at: int) -> bool:
    """Whether the object that opens before ``at`` closes there. Usually one byte tells."""
    while body[at : at + 1] in _SPACE and at < len(body):
        at += 1
    return body[at : at + 1] == b"}"
