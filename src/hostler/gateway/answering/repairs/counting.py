"""How many tokens a prompt has, asked of the engine that reads it."""

from __future__ import annotations

import asyncio
from typing import Final

import msgspec

from hostler.engines.protocol import Endpoint
from hostler.errors import EngineLost
from hostler.gateway.relay.fetching import fetched
from hostler.gateway.relay.heads import engine_lines
from hostler.gateway.relay.upstream import Pool

#: It only tokenizes, beside what it computes; longer than this nobody is kept waiting.
BOUND_S: Final = 2.0
_TARGET: Final = b"/v1/messages/count_tokens"


class _Count(msgspec.Struct):
    input_tokens: int


async def prompt_tokens(pool: Pool, endpoint: Endpoint, request: str, body: bytes) -> int:
    """The tokens of a body of `/v1/messages`; 0 when the engine does not say within :data:`BOUND_S`."""
    try:
        async with asyncio.timeout(BOUND_S):
            head = engine_lines(_TARGET, endpoint, request, len(body))
            reply = await fetched(pool, endpoint, head + body)
        return msgspec.json.decode(reply.body, type=_Count).input_tokens
    except (TimeoutError, EngineLost, msgspec.MsgspecError):
        return 0
