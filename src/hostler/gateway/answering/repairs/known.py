"""Which repairs each API of llama.cpp needs."""

from __future__ import annotations

from typing import Final

from msgspec import UNSET

from hostler.fleet.protocol import Served
from hostler.gateway.answering.repairs import dimensions, responses
from hostler.gateway.answering.repairs.events import Events
from hostler.gateway.answering.repairs.protocol import Repairs
from hostler.gateway.answering.repairs.starts import MessageStart, RoleFirst
from hostler.gateway.asking.checks.embeddings import Embedding
from hostler.gateway.asking.peek import Peek

_ERRORS: Final = Repairs()
_DIMENSIONS: Final = Repairs(whole=dimensions.whole)
_BY_API: Final = {
    "chat": Repairs(stream=RoleFirst),
    "messages": Repairs(stream=MessageStart),
    "responses": Repairs(stream=Events, whole=responses.whole),
}


def repairs_of(served: Served, api: str, asked: Peek) -> Repairs | None:
    """Those of one request; None where the engine is none of llama.cpp's."""
    if not served.counts or served.speaks is not None:
        return None
    if isinstance(asked, Embedding) and asked.dimensions not in (UNSET, None):
        return _DIMENSIONS
    return _BY_API.get(api, _ERRORS)
