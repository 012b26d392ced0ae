"""Walks through the bytes of a GGUF header without trusting any of them.

Every length comes from the file: it is compared with the file's size and with a bound before anything is
read. Whatever is wrong becomes a ModelError with path and byte offset.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Protocol

from hostler.errors import ModelError

MAX_HEADER = 2**27
MAX_NAME = 2**16
_STEP = 2**20

# The numbers of value types in a GGUF file.
STRING, ARRAY, BOOL = 8, 9, 7
SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "B", 10: "Q", 11: "q", 12: "d"}
READERS = {number: struct.Struct("<" + code) for number, code in SCALARS.items()}
_U32 = struct.Struct("<I")
_U64 = struct.Struct("<Q")

Scalar = str | int | float | bool


class Source(Protocol):
    """Where the bytes come from: a file, or what has been fetched of one."""

    def read(self, size: int, /) -> bytes | None: ...
    def seek(self, offset: int, /) -> int: ...


class Ended(ModelError):
    """There is no more where more was promised; ``needed`` is the byte up to which it should go."""

    def __init__(self, message: str, *, needed: int) -> None:
        super().__init__(message)
        self.needed = needed


class Cursor:
    """Walks through the file; holds only a stretch of it, from the item that is being read on."""

    def __init__(self, path: Path | str, file: Source, size: int) -> None:
        self.path = path
        self.size = size
        self.at = 0
        self.strings = 0
        self._file = file
        self._held = b""
        self._start = 0

    def fail(self, what: str, at: int | None = None) -> ModelError:
        return ModelError(f"{self.path} is corrupt at byte {self.at if at is None else at}: {what}.")

    def require(self, length: int, what: str) -> None:
        """Make ``length`` bytes from here available, or raise."""
        end = self.at + length
        if end <= self._start + len(self._held):
            return
        if end > self.size:
            raise ModelError(
                f"{self.path} is truncated: at byte {self.at} {what} needs {length} bytes more, the file has "
                f"{self.size} bytes."
            )
        if end > MAX_HEADER:
            raise self.fail(f"{what} would make the header larger than {MAX_HEADER} bytes")
        self._advance(end, what)

    def _advance(self, end: int, what: str) -> None:
        """Let go of what lies before here and hold what follows, at least up to ``end``."""
        read_to = self._start + len(self._held)
        if self.at > read_to:
            read_to = self._file.seek(self.at)
        pieces = [self._held[self.at - self._start :]]
        wanted = min(self.size, max(end, read_to + _STEP))
        while read_to < wanted:
            piece = self._file.read(wanted - read_to)
            if not piece:
                break
            pieces.append(piece)
            read_to += len(piece)
        if read_to < end:
            raise Ended(f"{self.path} became shorter while it was read, at byte {read_to} ({what}).", needed=end)
        self._start, self._held = self.at, b"".join(pieces)

    def take(self, reader: struct.Struct, what: str) -> int | float:
        self.require(reader.size, what)
        value: int | float = reader.unpack_from(self._held, self.at - self._start)[0]
        self.at += reader.size
        return value

    def u32(self, what: str) -> int:
        return int(self.take(_U32, what))

    def u64(self, what: str) -> int:
        return int(self.take(_U64, what))

    def u64s(self, count: int, what: str) -> tuple[int, ...]:
        return struct.unpack(f"<{count}Q", self.raw(8 * count, what))

    def count(self, what: str, limit: int) -> int:
        start = self.at
        number = self.u64(what)
        if number > limit:
            raise self.fail(f"{what} is {number}, more than {limit}", start)
        return number

    def raw(self, length: int, what: str) -> bytes:
        self.require(length, what)
        start = self.at - self._start
        self.at += length
        return self._held[start : start + length]

    def text(self, what: str) -> str:
        """A value: bad UTF-8 in it is replaced, as nothing depends on it."""
        return self.raw(self.u64(what), what).decode("utf-8", "replace")

    def name(self, what: str) -> str:
        start = self.at
        try:
            return self.raw(self.count(f"length of {what}", MAX_NAME), what).decode("utf-8")
        except UnicodeDecodeError:
            raise self.fail(f"{what} is not UTF-8", start) from None

    def scalars(self, kind: int, count: int, what: str) -> tuple[Scalar, ...]:
        items = struct.unpack(f"<{count}{SCALARS[kind]}", self.raw(count * READERS[kind].size, what))
        return tuple(bool(item) for item in items) if kind == BOOL else items

    def skip(self, length: int, what: str) -> None:
        self.require(length, what)
        self.at += length

    def skip_strings(self, count: int, what: str) -> None:
        """Walk over ``count`` strings by their lengths alone (50 ns each: vocabularies hold up to 650,000)."""
        done = 0
        while done < count:
            self.require(8, what)
            done += self._walk(count - done)
        self.require(0, what)

    def _walk(self, count: int) -> int:
        """Step over up to ``count`` strings whose lengths have been read from the file; how many."""
        unpack, data, at, done = _U64.unpack_from, self._held, self.at - self._start, 0
        try:
            for done in range(count):  # noqa: B007 - an error says how many were done
                at += 8 + unpack(data, at)[0]
            done = count
        except (struct.error, OverflowError):  # the end of what has been read, or a length beyond any file
            pass
        self.at = self._start + at
        return done
