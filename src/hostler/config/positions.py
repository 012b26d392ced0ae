"""On which line each key of a TOML text stands.

``tomllib`` forgets lines. This scanner reads text that ``tomllib`` has already accepted, so it checks nothing:
it only walks over keys and values and notes where they begin.
"""

from __future__ import annotations

import contextlib
import re
import tomllib
from bisect import bisect_right

import msgspec

from hostler.config.shape import KeyPath

_PART = r"""(?:"(?:\\.|[^"\\])*"|'[^']*'|[A-Za-z0-9_-]+)"""
_KEY = re.compile(rf"{_PART}(?:[ \t]*\.[ \t]*{_PART})*")
_PARTS = re.compile(_PART)
_BLANK = re.compile(r"(?:[\s]+|#[^\n]*)*")
_BLANK_OR_COMMA = re.compile(r"(?:[\s,]+|#[^\n]*)*")
_EQUALS = re.compile(r"[ \t]*=[ \t]*")
_STRING = re.compile(
    r'''"""(?:\\.|[^\\])*?"{3,5}(?!")|\'\'\'.*?\'{3,5}(?!')|"(?:\\.|[^"\\])*"|'[^']*\'''',
    re.DOTALL,
)
_SCALAR = re.compile(r"[^\s,\]}#]+(?:[ \t]+\d\d:[^\s,\]}#]*)?")


class Header(msgspec.Struct, frozen=True):
    """A table header: the line (from 1) of its ``[`` and the table it opens."""

    line: int
    path: KeyPath


class Positions(msgspec.Struct, frozen=True):
    """Lines count from 1. ``keys`` holds the first mention of every table and key."""

    keys: dict[KeyPath, int]
    headers: tuple[Header, ...]

    def line(self, path: KeyPath) -> int | None:
        """The line of ``path``, or of the nearest table around it; None if it is not in the text."""
        for end in range(len(path), 0, -1):
            if (line := self.keys.get(path[:end])) is not None:
                return line
        return None


class _Lost(Exception):
    """The text is not what tomllib would accept; what was found so far stands."""


class _Scanner:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.starts = [0, *(match.end() for match in re.finditer("\n", text))]
        self.keys: dict[KeyPath, int] = {}
        self.headers: list[Header] = []

    def run(self) -> Positions:
        with contextlib.suppress(_Lost):
            self._document()
        return Positions(self.keys, tuple(self.headers))

    def _document(self) -> None:
        inside: KeyPath = ()
        while self._skip(_BLANK) < len(self.text):
            if self.text[self.at] == "[":
                inside = self._header()
            else:
                self._pair(inside)

    def _header(self) -> KeyPath:
        start = self.at
        self.at += 2 if self.text.startswith("[[", self.at) else 1
        self._skip(_BLANK)
        path = self._key((), start)
        self.headers.append(Header(self._line(start), path))
        self.at = self.text.find("]", self.at) + 1
        if self.text.startswith("]", self.at):
            self.at += 1
        return path

    def _pair(self, inside: KeyPath | None) -> None:
        path = self._key(inside, self.at)
        self._take(_EQUALS)
        self._value(path)

    def _key(self, inside: KeyPath | None, start: int) -> KeyPath:
        """Read a key and note it below ``inside``; None is inside an array, where nothing is noted."""
        parts = tuple(_plain(part) for part in _PARTS.findall(self._take(_KEY)))
        if inside is None:
            return ()
        for end in range(1, len(parts) + 1):
            self.keys.setdefault((*inside, *parts[:end]), self._line(start))
        return (*inside, *parts)

    def _value(self, path: KeyPath | None) -> None:
        match self.text[self.at : self.at + 1]:
            case '"' | "'":
                self._take(_STRING)
            case "[":
                self._items("]", None)
            case "{":
                self._items("}", path or None)
            case _:
                self._take(_SCALAR)

    def _items(self, closing: str, path: KeyPath | None) -> None:
        self.at += 1
        while self._skip(_BLANK_OR_COMMA) < len(self.text) and self.text[self.at] != closing:
            if closing == "}":
                self._pair(path)
            else:
                self._value(None)
        self.at += 1

    def _take(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self.text, self.at)
        if match is None:
            raise _Lost
        self.at = match.end()
        return match[0]

    def _skip(self, pattern: re.Pattern[str]) -> int:
        self._take(pattern)
        return self.at

    def _line(self, offset: int) -> int:
        return bisect_right(self.starts, offset)


def _plain(part: str) -> str:
    if part.startswith('"'):
        return str(tomllib.loads(f"key = {part}")["key"])
    return part[1:-1] if part.startswith("'") else part


def find(text: str) -> Positions:
    """The positions in ``text``, which is valid TOML."""
    return _Scanner(text).run()
