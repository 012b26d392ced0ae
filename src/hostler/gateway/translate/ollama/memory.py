"""The `context` of `/api/generate`: what was said so far, as numbers that a client sends back with its next prompt.

Ollama's numbers are the tokens of a model. Ours are the conversation itself, packed, so that any engine can go on from
them; clients only carry them. Three bytes are one number, which fits where a client keeps 32 bits.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Final

import msgspec

from hostler.errors import InvalidRequest

#: Bytes of a conversation; what is longer is not given, and not read.
LONGEST: Final = 256 * 2**10
#: The first number of what is ours: `hos`, and then the bytes in all.
_MARK: Final = 0x686F73

Turn = tuple[str, str]
_turns = msgspec.json.Decoder(list[Turn])


def packed(turns: Sequence[Turn]) -> list[int]:
    """A conversation (who, and what) as numbers; none where it is too long."""
    text = msgspec.json.encode(turns)
    if len(text) > LONGEST:
        return []
    data = zlib.compress(text)
    padded = data + bytes(-len(data) % 3)
    numbers = [int.from_bytes(padded[at : at + 3], "big") for at in range(0, len(padded), 3)]
    return [_MARK, len(data), *numbers]


def unpacked(numbers: Sequence[int]) -> list[Turn]:
    """The conversation again. Raises InvalidRequest for numbers that did not come from here."""
    if not numbers:
        return []
    try:
        if numbers[0] != _MARK:
            raise ValueError("not ours")
        data = b"".join(number.to_bytes(3, "big") for number in numbers[2:])[: numbers[1]]
        return _turns.decode(zlib.decompressobj().decompress(data, LONGEST))
    except (ValueError, OverflowError, IndexError, zlib.error):  # msgspec's errors are ValueErrors
        raise InvalidRequest(
            "`context` is not what an answer of this gateway gave.", hint="Leave it out, or use /api/chat."
        ) from None
