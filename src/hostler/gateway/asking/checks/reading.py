"""Reads a body as its API declares it: one decode, that of :mod:`hostler.gateway.asking.peek`."""

from __future__ import annotations

from functools import cache
from typing import Final

import msgspec

from hostler.gateway.asking.checks.chat import Chat
from hostler.gateway.asking.checks.completions import Completion, Infill
from hostler.gateway.asking.checks.embeddings import Embedding
from hostler.gateway.asking.checks.kinds import Checked
from hostler.gateway.asking.checks.messages import Answered, Messages
from hostler.gateway.asking.checks.responses import Response
from hostler.gateway.asking.peek import Peek, peek, peeked

_BODIES: Final[dict[str, type[Checked]]] = {
    "chat": Chat,
    "apply_template": Chat,  # its engine fetches the pictures of what it renders
    "completions": Completion,
    "completion": Completion,
    "infill": Infill,
    "embeddings": Embedding,
    "responses": Response,
    "input_tokens": Response,
    "messages": Answered,
    "count_tokens": Messages,
}


@cache
def _decoder(api: str) -> msgspec.json.Decoder[Checked] | None:
    """Made when it is first needed: each takes milliseconds, and the gateway starts without."""
    body = _BODIES.get(api)
    return None if body is None else msgspec.json.Decoder(body)


def read(api: str, body: bytes) -> Peek:
    """What the gateway must know of ``body``; raises InvalidRequest that names the field."""
    decoder = _decoder(api)
    return peek(body) if decoder is None else peeked(body, decoder)
