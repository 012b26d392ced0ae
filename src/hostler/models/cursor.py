"""Walks through the bytes of a GGUF header without trusting any of them.

Every length comes from the file: it is compared with the file's size and with a bound before anything is
read. Whatever is wrong becomes a ModelError with path and byte offset.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO

from hostler.errors import ModelError

MAX_HEADER = 2**27
MAX_NAME = 2**16

# The numbers of value types in a GGUF file.
STRING, ARRAY, BOOL = 8, 9, 7
SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "B", 10: "Q", 11: "q", 12: "d"}
READERS = {number: struct.Struct("<" + code) for number, code in SCALARS.items()}
_U32 = struct.Struct("<I")
_U64 = struct.Struct("<Q")

Scalar = str | int | float | bool


class Cursor:
    """Walks through the file; holds only what was walked over, read in growing steps."""

    def __init__(self, path: Path, file: BinaryIO, size: int) -> None:
        self.path = path
        self.size = size
        self.at = 0
        self.strings = 0
        self._file = file
        self._data = bytearray()

    def fail(self, what: str, at: int | None = None) -> ModelError:
        return ModelError(f"{self.path} is corrupt at byte {self.at if at is None else at}: {what}.")

    def require(self, length: int, what: str) -> None:
        """Make ``length`` bytes from here available, or raise."""
        end = self.at + length
        if end <= len(self._data):
            return
        if end > self.size:
            raise ModelError(
                f"{self.path} is truncated: at byte {self.at} {what} needs {length} bytes more, the file has "
                f"{self.size} bytes."
            )
        if end > MAX_HEADER:
            raise self.fail(f"{what} would make the header larger than {MAX_HEADER} bytes")
        self._grow(end, what)

    def _grow(self, end: int, what: str) -> None:
        wanted = min(self.size, max(end, 2 * len(self._data), 2**20))
        while len(self._data) < wanted:
            piece = self._file.read(wanted - len(self._data))
            if not piece:
                break
            self._data += piece
        if len(self._data) < end:
            raise ModelError(f"{self.path} became shorter while it was read, at byte {len(self._data)} ({what}).")

    def take(self, reader: struct.Struct, what: str) -> int | float:
        self.require(reader.size, what)
        value: int | float = reader.unpack_from(self._data, self.at)[0]
        self.at += reader.size
        return value

    def u32(self, what: str) -> int:
        return int(self.take(_U32, what))

    def u64(self, what: str) -> int:
        return int(self.take(_U64, what))

    def count(self, what: str, limit: int) -> int:
        start = self.at
        number = self.u64(what)
        if number > limit:
            raise self.fail(f"{what} is {number}, more than {limit}", start)
        return number

    def raw(self, length: int, what: str) -> bytes:
        self.require(length, what)
        start, self.at = self.at, self.at + length
        return bytes(self._data[start : self.at])

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
        """Walk over ``count`` strings by their lengths alone (50,000 in about 10 ms)."""
        unpack, done = _U64.unpack_from, 0
        while done < count:
            self.require(8, what)
            data, at, last = self._data, self.at, len(self._data) - 8
            while done < count and at <= last:
                at += 8 + unpack(data, at)[0]
                done += 1
            self.at = at
        self.require(0, what)
