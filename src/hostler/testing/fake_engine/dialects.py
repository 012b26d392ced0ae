"""How each API says the same answer: what opens a stream, a token, what closes it, and the whole at once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from hostler.testing.fake_engine import shapes
from hostler.testing.fake_engine.shapes import Json, dump
from hostler.testing.fake_engine.slots import Slot

DONE = b"data: [DONE]\n\n"
_TEXT = "The sea is wide and calm today , and the wind carries salt over the quiet harbour ."
WORDS = tuple(f" {word}" for word in _TEXT.split())


@dataclass(frozen=True)
class ToolCall:
    """A scripted call: its arguments are what the tool's schema requires, with values of the right type."""

    name: str
    arguments: str


@dataclass(frozen=True)
class Wish:
    """What a request wants to hear back, apart from how many tokens."""

    model: str
    include_usage: bool = False
    every_timings: bool = False
    choices: int = 1
    call: ToolCall | None = None
    prompt: str = ""
    #: The stop sequence that ends it.
    stop: str = ""


@dataclass(frozen=True)
class Ending:
    """How an answer ended."""

    slot: Slot
    limited: bool
    timings: Json


def sse(value: object, event: str = "") -> bytes:
    """One server-sent event."""
    head = f"event: {event}\n".encode() if event else b""
    return b"%bdata: %b\n\n" % (head, dump(value))


def typed(events: Iterable[Json]) -> bytes:
    """Events named by their own ``type``."""
    return b"".join(sse(event, str(event["type"])) for event in events)


class Dialect:
    """One answer in one API. ``pieces`` is the text (or the arguments) token by token."""

    def __init__(self, wish: Wish) -> None:
        self.wish = wish
        self.created = shapes.now()

    def opening(self, slot: Slot) -> bytes:
        """What comes before, and in one chunk with, the first token."""
        return b""

    def token(self, piece: str, slot: Slot) -> bytes:
        """The event of one token; ``slot.decoded_n`` counts it already."""
        raise NotImplementedError

    def closing(self, text: str, end: Ending) -> Sequence[bytes]:
        """The last chunks."""
        raise NotImplementedError

    def whole(self, text: str, end: Ending) -> Json:
        """The body of a plain answer."""
        raise NotImplementedError


class Chat(Dialect):
    """``/v1/chat/completions``."""

    def __init__(self, wish: Wish) -> None:
        super().__init__(wish)
        self.id = shapes.new_id("chatcmpl-")
        self.call_id = shapes.new_id("")
        self._texts: dict[str, bytes] = {}
        self._after = b""

    def _chunk(self, delta: Json) -> bytes:
        # Every chunk of a stream is the same but for its delta.
        if not self._after:
            tail = self._body([])
            del tail["choices"]
            self._after = b"}]," + dump(tail)[1:] + b"\n\n"
        return b'data: {"choices":[{"finish_reason":null,"index":0,"delta":' + dump(delta) + self._after

    def _body(self, choices: list[Json], **more: object) -> Json:
        return {
            "choices": choices,
            "created": self.created,
            "id": self.id,
            "model": self.wish.model,
            "system_fingerprint": shapes.FINGERPRINT,
            "object": "chat.completion.chunk",
            **more,
        }

    def opening(self, slot: Slot) -> bytes:
        role = self._chunk({"role": "assistant", "content": None})
        call = self.wish.call
        if call is None:
            return role
        function = {"name": call.name, "arguments": ""}
        return role + self._chunk(
            {"tool_calls": [{"index": 0, "id": self.call_id, "type": "function", "function": function}]}
        )

    def token(self, piece: str, slot: Slot) -> bytes:
        known = self._texts.get(piece)
        if known is None:
            delta: Json = {"content": piece}
            if self.wish.call is not None:
                delta = {"tool_calls": [{"index": 0, "function": {"arguments": piece}}]}
            known = self._texts[piece] = self._chunk(delta)
        return known

    def _reason(self, end: Ending) -> str:
        if self.wish.call is not None:
            return "tool_calls"
        return "length" if end.limited else "stop"

    def closing(self, text: str, end: Ending) -> Sequence[bytes]:
        last: list[Json] = [{"finish_reason": self._reason(end), "index": 0, "delta": {}}]
        if self.wish.include_usage:
            final = sse(self._body(last)) + sse(self._body([], usage=shapes.usage(end.slot), timings=end.timings))
        else:
            final = sse(self._body(last, timings=end.timings))
        return final, DONE

    def whole(self, text: str, end: Ending) -> Json:
        message: Json = {"role": "assistant", "content": text}
        if self.wish.call is not None:
            function = {"name": self.wish.call.name, "arguments": text}
            message["content"] = None
            message["tool_calls"] = [{"type": "function", "function": function, "id": self.call_id}]
        reason = self._reason(end)
        return {
            "choices": [
                {"finish_reason": reason, "index": index, "message": message} for index in range(self.wish.choices)
            ],
            "created": self.created,
            "model": self.wish.model,
            "system_fingerprint": shapes.FINGERPRINT,
            "object": "chat.completion",
            "usage": shapes.usage(end.slot),
            "id": self.id,
            "timings": end.timings,
        }


class Completions(Dialect):
    """``/v1/completions``. Its last chunk always carries usage."""

    def __init__(self, wish: Wish) -> None:
        super().__init__(wish)
        self.id = shapes.new_id("chatcmpl-")

    def _body(self, choices: list[Json], **more: object) -> Json:
        return {
            "choices": choices,
            "created": self.created,
            "model": self.wish.model,
            "system_fingerprint": shapes.FINGERPRINT,
            "object": "text_completion",
            **more,
        }

    def token(self, piece: str, slot: Slot) -> bytes:
        choice: Json = {"text": piece, "index": 0, "logprobs": None, "finish_reason": None}
        return sse(self._body([choice], id=self.id))

    def _final(self, text: str, end: Ending, choices: int) -> Json:
        reason = "length" if end.limited else "stop"
        every: list[Json] = [
            {"text": text, "index": index, "logprobs": None, "finish_reason": reason} for index in range(choices)
        ]
        return self._body(every, usage=shapes.usage(end.slot), id=self.id, timings=end.timings)

    def closing(self, text: str, end: Ending) -> Sequence[bytes]:
        return sse(self._final("", end, 1)), DONE

    def whole(self, text: str, end: Ending) -> Json:
        return self._final(text, end, self.wish.choices)


class Native(Dialect):
    """``/completion``, llama.cpp's own; its stream has no ``[DONE]``."""

    def token(self, piece: str, slot: Slot) -> bytes:
        return sse(
            {
                "index": 0,
                "content": piece,
                "tokens": [slot.decoded_n],
                "stop": False,
                "id_slot": -1,
                "tokens_predicted": slot.decoded_n,
                "tokens_evaluated": slot.prompt_n,
            }
        )

    def closing(self, text: str, end: Ending) -> Sequence[bytes]:
        return (sse(self.whole("", end)),)

    def whole(self, text: str, end: Ending) -> Json:
        slot = end.slot
        return {
            "index": 0,
            "content": text,
            "tokens": [],
            "id_slot": slot.id,
            "stop": True,
            "model": self.wish.model,
            "tokens_predicted": slot.decoded_n,
            "tokens_evaluated": slot.prompt_n,
            "generation_settings": shapes.settings(slot),
            "prompt": self.wish.prompt,
            "has_new_line": False,
            "truncated": False,
            "stop_type": "limit" if end.limited else "eos",
            "stopping_word": "",
            "tokens_cached": slot.prompt_n + max(slot.decoded_n - 1, 0),
            "timings": end.timings,
        }
