"""Event streams of Anthropic's messages API, as OpenAI's chat completions streams."""

from __future__ import annotations

import msgspec
from msgspec import UNSET, UnsetType

from hostler.errors import HostlerError
from hostler.gateway.translate.chat_by_messages import chat
from hostler.gateway.translate.chat_by_messages import messages as m
from hostler.gateway.translate.chat_by_messages.answer import (
    arguments_of,
    error_of,
    finish_of,
    not_understood,
    usage_of,
)
from hostler.gateway.translate.events import Events

_event = msgspec.json.Decoder(m.Event)
DONE = b"data: [DONE]\n\n"


class ChatStream:
    """See :class:`hostler.gateway.translate.protocol.Translated`.

    Usage is in the last chunk with a choice, as several servers do it; a client that asked for it gets it in a chunk
    of its own behind that, as the API says.
    """

    def __init__(self, created: int, *, include_usage: bool) -> None:
        self.complete = False
        self.error: HostlerError | None = None
        self._created = created
        self._include_usage = include_usage
        self._events = Events()
        self._begun = m.Answer()
        self._usage = m.Usage()
        self._calls: dict[int, int] = {}  # their number, by the number of their block
        self._open: m.Said | None = None  # a call that has no arguments yet
        self._finish: chat.Finish = "stop"

    def feed(self, data: bytes) -> bytes:
        try:
            events = [_event.decode(each) for each in self._events.feed(data)]
        except (ValueError, RecursionError) as error:  # msgspec's errors are among them
            raise not_understood(error) from None
        return b"".join(self._take(event) for event in events if self.error is None and not self.complete)

    def _take(self, event: m.Event) -> bytes:
        match event.type:
            case "message_start" if event.message is not None:
                self._begun = event.message
                self._count(event.message.usage)
                return self._chunk(chat.Delta(role="assistant", content=""))
            case "content_block_start" if event.content_block is not None:
                return self._begin(event.index, event.content_block)
            case "content_block_delta" if event.delta is not None:
                return self._more(event.index, event.delta)
            case "content_block_stop":
                return self._close(event.index)
            case "message_delta":
                self._finish = finish_of(event.delta.stop_reason if event.delta is not None else None)
                self._count(event.usage)
            case "message_stop":
                self.complete = True
                return self._end()
            case "error":
                self.error = error_of(event.error or m.Complaint())
            case "ping" if self._begun.model:
                return b": ping\n\n"  # keeps the way open while it thinks
        return b""

    def _count(self, said: m.Usage | None) -> None:
        """Counts are of all so far; what an event leaves out stands."""
        for name in m.Usage.__struct_fields__ if said is not None else ():
            if (count := getattr(said, name)) is not None:
                setattr(self._usage, name, count)

    def _begin(self, block: int, said: m.Said) -> bytes:
        if said.type != "tool_use":
            return self._more(block, said)
        self._calls[block] = number = len(self._calls)
        self._open = said
        function = chat.GivenFunction("", said.name)
        return self._chunk(chat.Delta(tool_calls=[chat.Given(function, number, said.id, "function")]))

    def _more(self, block: int, said: m.Said) -> bytes:
        if said.text:
            return self._chunk(chat.Delta(content=said.text))
        if said.thinking:
            return self._chunk(chat.Delta(reasoning_content=said.thinking))
        if said.partial_json and block in self._calls:
            self._open = None
            return self._arguments(block, said.partial_json)
        return b""

    def _close(self, block: int) -> bytes:
        """A call without a piece of arguments has those it began with: clients read them as JSON."""
        call, self._open = self._open, None
        return b"" if call is None or block not in self._calls else self._arguments(block, arguments_of(call.input))

    def _arguments(self, block: int, text: str) -> bytes:
        return self._chunk(chat.Delta(tool_calls=[chat.Given(chat.GivenFunction(text), self._calls[block])]))

    def _end(self) -> bytes:
        usage = usage_of(self._usage)
        if not self._include_usage:
            return self._chunk(chat.Delta(), self._finish, usage) + DONE
        last = chat.Chunk(self._begun.id, self._created, self._begun.model, [], usage=usage)
        return self._chunk(chat.Delta(), self._finish) + _line(last) + DONE

    def _chunk(
        self, delta: chat.Delta, finish: chat.Finish | None = None, usage: chat.Usage | UnsetType = UNSET
    ) -> bytes:
        choice = chat.StreamChoice(delta, finish)
        return _line(chat.Chunk(self._begun.id, self._created, self._begun.model, [choice], usage=usage))


def _line(chunk: chat.Chunk) -> bytes:
    return b"data: " + msgspec.json.encode(chunk) + b"\n\n"
