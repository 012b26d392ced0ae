"""A small table that outlives the process: one JSON file, written whole and atomically, bounded."""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Collection
from pathlib import Path
from typing import Generic, TypeVar

import msgspec

T = TypeVar("T")

LARGEST_FILE = 16 * 2**20


class Remembered(Generic[T]):
    """Values by key, of which the ``kept`` most recently put stay. A broken or missing file is an empty table.

    Reads and changes happen on the event loop's thread, :meth:`save` in another.
    """

    def __init__(self, file: Path, kind: type[T], kept: int) -> None:
        self._file = file
        self._kept = kept
        self._known = _read(file, kind)
        self._saving = threading.Lock()

    def get(self, key: str) -> T | None:
        """What is known of ``key``."""
        return self._known.get(key)

    def names(self) -> list[str]:
        """What is known of anything, the least recently put first."""
        return list(self._known)

    def put(self, key: str, value: T) -> None:
        """Remember, most recent last; the oldest beyond the bound are forgotten."""
        self._known.pop(key, None)
        self._known[key] = value
        while len(self._known) > self._kept:
            del self._known[next(iter(self._known))]

    def forget(self, key: str) -> bool:
        """Drop ``key``; whether it was there."""
        return self._known.pop(key, None) is not None

    def keep_only(self, keys: Collection[str]) -> bool:
        """Drop every other key; whether there was one."""
        gone = [key for key in self._known if key not in keys]
        for key in gone:
            del self._known[key]
        return bool(gone)

    def save(self) -> None:
        """Write the file anew, atomically. Blocking; raises OSError when the folder cannot be written."""
        with self._saving:
            data = msgspec.json.encode(dict(self._known))
            self._file.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=self._file.parent, prefix=self._file.name)
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(data)
                os.replace(name, self._file)
            except OSError:
                Path(name).unlink(missing_ok=True)
                raise


def _read(file: Path, kind: type[T]) -> dict[str, T]:
    """The table in ``file``; empty when it is no such table, or larger than any that is written here."""
    try:
        if file.stat().st_size > LARGEST_FILE:
            return {}
        return msgspec.json.decode(file.read_bytes(), type=dict[str, kind])  # type: ignore[valid-type]
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return {}
