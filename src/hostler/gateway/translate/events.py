"""Server-sent events, read as they come, however they are cut."""

from __future__ import annotations

from typing import Final

#: One event is one line of JSON; an image in one is the largest thing that comes.
LONGEST: Final = 32 * 2**20


class Events:
    """Reads the ``data`` of events; their other fields, which only repeat it, and comments are left out."""

    __slots__ = ("_data", "_rest")

    def __init__(self) -> None:
        self._rest = b""
        self._data: list[bytes] = []

    def feed(self, data: bytes) -> list[bytes]:
        """The data of each event that these bytes complete. Raises ValueError beyond :data:`LONGEST`."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) + sum(map(len, self._data)) > LONGEST:
            raise ValueError(f"an event is over {LONGEST} bytes")
        found = []
        for line in lines:
            text = line.removesuffix(b"\r")
            if not text and self._data:
                found.append(b"\n".join(self._data))
                self._data = []
            elif text.startswith(b"data:"):
                self._data.append(text[5:].removeprefix(b" "))
        return found
