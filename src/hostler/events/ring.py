"""The last events, kept small: the newest as they are, those before them packed, a block at a time.

Ten thousand events as objects are two megabytes and more, scattered among everything that lives as long as a request;
packed they are a seventh of that, for 0.6 us each. Nearly every reader keeps up and asks for the newest alone.
"""

from __future__ import annotations

import zlib
from collections import deque
from collections.abc import Sequence
from functools import cache
from typing import Final

import msgspec

from hostler.events.kinds import AnyEvent

#: Events in a block; between one block and two are kept as they are.
BLOCK: Final = 256
#: Of all blocks together; more is forgotten, however few events that leaves.
PACKED_BYTES: Final = 2 * 2**20
#: The quickest: events look so much alike that more trouble gains little.
_LEVEL: Final = 1

_encoder = msgspec.msgpack.Encoder()

#: Packed; as they are where something in them is no text, such as the name of a file.
Block = bytes | tuple[AnyEvent, ...]


class Ring:
    """At most ``size`` events."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._newest: list[AnyEvent] = []
        self._blocks: deque[Block] = deque()
        self._packed = 0

    def __len__(self) -> int:
        return min(self._size, len(self._newest) + BLOCK * len(self._blocks))

    def append(self, event: AnyEvent) -> None:
        """Keep ``event``, if need be instead of the oldest ones."""
        self._newest.append(event)
        if len(self._newest) == 2 * BLOCK:
            self._pack()

    def last(self, count: int, limit: int | None = None) -> list[AnyEvent]:
        """The last ``count`` events that are kept, oldest first; of these the first ``limit``."""
        count = min(count, len(self))
        wanted = count if limit is None else min(count, limit)
        packed = count - len(self._newest)
        if packed <= 0:
            start = len(self._newest) - count
            return self._newest[start : start + wanted]
        blocks = -(-packed // BLOCK)
        found = list[AnyEvent]()
        skipped = blocks * BLOCK - packed
        for block in list(self._blocks)[-blocks:]:
            if len(found) - skipped < wanted:
                found += _unpacked(block)
        return (found[skipped:] + self._newest)[:wanted]

    def _pack(self) -> None:
        block = _packed(self._newest[:BLOCK])
        del self._newest[:BLOCK]
        self._blocks.append(block)
        self._packed += len(block)
        while self._blocks and (self._packed > PACKED_BYTES or BLOCK * len(self._blocks) >= self._size + BLOCK):
            self._packed -= len(self._blocks.popleft())


def _packed(events: Sequence[AnyEvent]) -> Block:
    try:
        return zlib.compress(_encoder.encode(events), _LEVEL)
    except UnicodeEncodeError:
        return tuple(events)


def _unpacked(block: Block) -> Sequence[AnyEvent]:
    return _decoder().decode(zlib.decompress(block)) if isinstance(block, bytes) else block


@cache
def _decoder() -> msgspec.msgpack.Decoder[list[AnyEvent]]:
    """Made when somebody asks for what is packed: most gateways never do."""
    return msgspec.msgpack.Decoder(list[AnyEvent])
