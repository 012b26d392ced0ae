"""A stream that was read to its end, for those who judge what an engine said."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

#: Private for ever: no vocabulary has it whole, so an answer that begins with it begins with a part of a character.
RARE: Final = "\U000f1234"


def heard(body: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The name (nothing for none) and the data of each event that says an object."""
    for event in body.split(b"\n\n"):
        name, _, data = (b"\n" + event).partition(b"\ndata: ")
        if data.startswith(b"{"):
            yield name.removeprefix(b"\nevent: "), data
