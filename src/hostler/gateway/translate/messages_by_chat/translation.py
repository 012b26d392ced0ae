"""An answer to Anthropic's messages that a server of OpenAI's chat completions gives."""

from __future__ import annotations

import msgspec

from hostler.gateway.translate.messages_by_chat import llamacpp
from hostler.gateway.translate.messages_by_chat.answer import answer, problem
from hostler.gateway.translate.messages_by_chat.request import as_chat, asked
from hostler.gateway.translate.messages_by_chat.stream import MessagesStream


class MessagesByChat:
    """See :class:`hostler.gateway.translate.protocol.Translation`; this API tells no time of creation."""

    path = b"/chat/completions"

    def __init__(self, model: str, _created: int) -> None:
        self._model = model

    def request(self, body: bytes) -> bytes:
        return msgspec.json.encode(as_chat(asked(body), self._model))

    def answer(self, body: bytes) -> bytes:
        return msgspec.json.encode(answer(body))

    def error(self, body: bytes) -> bytes:
        return msgspec.json.encode(problem(body))

    def stream(self) -> MessagesStream:
        return MessagesStream()


class ByLlamacpp(MessagesByChat):
    """The same for an engine of llama.cpp's. Its errors are put into words of the API elsewhere."""

    def __init__(self) -> None:
        super().__init__("", 0)

    def request(self, body: bytes) -> bytes:
        return msgspec.json.encode(llamacpp.as_chat(asked(body)))

    def error(self, body: bytes) -> bytes:
        return body
