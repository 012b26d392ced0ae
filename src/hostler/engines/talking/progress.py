"""How far an engine is with what it computes, as its slots tell: so that a hang can be told from a long prompt."""

from __future__ import annotations

import msgspec

from hostler.engines.protocol import Endpoint, Progress
from hostler.engines.talking.exchange import Broken, ask
from hostler.errors import EngineLost

_UNSUPPORTED = (404, 501)


class _Token(msgspec.Struct):
    n_decoded: int = 0


class _Slot(msgspec.Struct):
    id: int
    is_processing: bool = False
    id_task: int = -1
    n_prompt_tokens_processed: int = 0
    next_token: list[_Token] | _Token = msgspec.field(default_factory=list)


async def progress(endpoint: Endpoint) -> Progress | None:
    """What the slots have done so far; None when the engine does not tell. Raises EngineLost when it does not answer.

    Unbounded in time: the caller bounds it. As any question it restarts llama.cpp's one second of silence after which
    it notices a hang-up.
    """
    try:
        answer = await ask(endpoint, "GET", "/slots")
        if answer.status in _UNSUPPORTED:
            return None
        busy = [slot for slot in msgspec.json.decode(answer.body, type=list[_Slot]) if slot.is_processing]
    except (Broken, msgspec.MsgspecError) as error:
        raise EngineLost(f"The engine does not say what its slots do: {error}.") from error
    return Progress(
        busy=len(busy),
        mark=tuple((slot.id, slot.id_task, slot.n_prompt_tokens_processed, _decoded(slot)) for slot in busy),
    )


def _decoded(slot: _Slot) -> int:
    tokens = slot.next_token if isinstance(slot.next_token, list) else [slot.next_token]
    return sum(token.n_decoded for token in tokens)
