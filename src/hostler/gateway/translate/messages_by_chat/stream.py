"""Event streams of OpenAI's chat completions, as Anthropic's messages streams."""

from __future__ import annotations

import msgspec

from hostler.errors import HostlerError
from hostler.gateway.translate.chat_by_messages.answer import not_understood
from hostler.gateway.translate.events import Events
from hostler.gateway.translate.messages_by_chat import shapes as s
from hostler.gateway.translate.messages_by_chat.answer import error_of, heard, id_of, prompt_of, stop_of, usage_of

_PING = b'event: ping\ndata: {"type":"ping"}\n\n'


class MessagesStream:
    """See :class:`hostler.gateway.translate.protocol.Translated`.

    One block is open at a time, as in the other API: what begins closes what was before it.
    """

    def __init__(self) -> None:
        self.complete = False
        self.error: HostlerError | None = None
        self._events = Events()
        self._begun = False
        self._blocks = 0
        self._open = ""  # the kind of the block that is open
        self._call: int | None = None  # the server's number of the call that is open
        self._calls: set[int | str | None] = set()  # numbers and ids of all so far
        self._finish: str | None = None
        self._stopping_word: str | None = None
        self._usage: s.HeardUsage | None = None
        self._prompt = s.Usage()  # as far as it is known when the answer begins

    def feed(self, data: bytes) -> bytes:
        try:
            events = self._events.feed(data)
        except ValueError as error:
            raise not_understood(error) from None
        return b"".join(self._take(event) for event in events if self.error is None and not self.complete)

    def _take(self, event: bytes) -> bytes:
        if event.strip() == b"[DONE]":
            self.complete = True
            return self._end()
        chunk = heard(event)
        if chunk.error is not None:
            self.error = error_of(chunk.error)
            return b""
        if chunk.prompt_progress is not None:
            self._prompt = prompt_of(chunk.prompt_progress)
            return b""
        self._usage = chunk.usage or self._usage
        self._stopping_word = chunk.stopping_word or self._stopping_word
        text = self._begin(chunk)
        for choice in chunk.choices or ():
            if choice.index == 0:
                self._finish = choice.finish_reason or self._finish
                text += b"" if choice.delta is None else self._more(choice.delta)
        return text

    def _begin(self, chunk: s.HeardAnswer) -> bytes:
        if self._begun:
            return b""
        self._begun = True
        return _line("message_start", message=s.Answer(chunk.id, chunk.model, usage=self._prompt)) + _PING

    def _more(self, delta: s.Heard) -> bytes:
        text = self._said("thinking", delta.thought) + self._said("text", delta.said)
        return text + b"".join(self._called(call) for call in delta.tool_calls or ())

    def _said(self, kind: str, piece: str) -> bytes:
        if not piece:
            return b""
        begun = b"" if self._open == kind else self._block(s.Text() if kind == "text" else s.Thought(), kind)
        return begun + self._delta(type=f"{kind}_delta", **{kind: piece})

    def _called(self, call: s.HeardCall) -> bytes:
        """A call begins with a number or an id that is new: some servers number none, or all with 0."""
        marks = {mark for mark in (call.index, call.id) if mark not in (None, "")}
        text = b""
        if marks - self._calls:
            self._calls |= marks
            self._call = call.index
            text = self._block(s.ToolUse(id_of(call.id, self._blocks), call.function.name or ""), "tool_use")
        elif self._open != "tool_use" or call.index not in (None, self._call):
            raise not_understood(ValueError("the pieces of its calls are mixed"))
        piece = call.function.arguments
        return text + (self._delta(type="input_json_delta", partial_json=piece) if piece else b"")

    def _block(self, block: s.Block, kind: str) -> bytes:
        text = self._close()
        self._open = kind
        return text + _line("content_block_start", index=self._blocks, content_block=block)

    def _close(self) -> bytes:
        if not self._open:
            return b""
        # Thoughts end with their signature, which clients send back.
        text = self._delta(type="signature_delta", signature="") if self._open == "thinking" else b""
        text += _line("content_block_stop", index=self._blocks)
        self._open = ""
        self._blocks += 1
        return text

    def _delta(self, **delta: str) -> bytes:
        return _line("content_block_delta", index=self._blocks, delta=delta)

    def _end(self) -> bytes:
        text = (b"" if self._begun else self._begin(s.HeardAnswer())) + self._close()
        stop = stop_of(self._finish, self._stopping_word, called=bool(self._calls))
        delta = {"stop_reason": stop, "stop_sequence": self._stopping_word}
        return text + _line("message_delta", delta=delta, usage=usage_of(self._usage)) + _line("message_stop")


def _line(kind: str, **fields: object) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), msgspec.json.encode({"type": kind, **fields}))
