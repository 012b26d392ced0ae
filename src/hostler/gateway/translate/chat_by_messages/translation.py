"""A chat completion that a server of Anthropic's messages API gives."""

from __future__ import annotations

import msgspec

from hostler.gateway.translate.chat_by_messages.answer import completion, problem
from hostler.gateway.translate.chat_by_messages.request import as_messages, asked
from hostler.gateway.translate.chat_by_messages.stream import ChatStream


class ChatByMessages:
    """See :class:`hostler.gateway.translate.protocol.Translation`. ``created`` is seconds since the Unix epoch."""

    path = b"/messages"

    def __init__(self, model: str, created: int) -> None:
        self._model = model
        self._created = created
        self._include_usage = False

    def request(self, body: bytes) -> bytes:
        wanted = asked(body)
        options = wanted.stream_options
        self._include_usage = options is not None and options.include_usage is True
        return msgspec.json.encode(as_messages(wanted, self._model))

    def answer(self, body: bytes) -> bytes:
        return msgspec.json.encode(completion(body, self._created))

    def error(self, body: bytes) -> bytes:
        return msgspec.json.encode(problem(body))

    def stream(self) -> ChatStream:
        return ChatStream(self._created, include_usage=self._include_usage)
