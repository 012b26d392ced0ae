"""Requests of `/v1/messages` that llama.cpp is asked by its chat API: those with a schema, which its own does not take.

They are checked and edited as all messages are, and translated at last, so that nothing else of their path differs.
"""

from __future__ import annotations

from typing import Final

from hostler.fleet.protocol import Served
from hostler.gateway.asking.checks.messages import Messages
from hostler.gateway.asking.peek import Peek
from hostler.gateway.routes import INFERENCE, Route
from hostler.gateway.translate.messages_by_chat.translation import ByLlamacpp
from hostler.gateway.translate.protocol import Translation

_CHAT: Final = INFERENCE[b"/v1/chat/completions"]


def spoken(body: bytes, route: Route, asked: Peek, served: Served) -> tuple[bytes, Route, Translation | None]:
    """What the engine is asked, where, and what tells its answer as the client's API has it; as it is for nearly all.

    Raises InvalidRequest.
    """
    if route.api != "messages" or not served.counts or served.speaks is not None:
        return body, route, None
    if not isinstance(asked, Messages) or not asked.shaped:
        return body, route, None
    translation = ByLlamacpp()
    return translation.request(body), _CHAT, translation
