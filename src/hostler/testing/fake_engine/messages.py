"""The two APIs with typed events: Anthropic's messages and OpenAI's responses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hostler.testing.fake_engine import shapes
from hostler.testing.fake_engine.dialects import Dialect, Ending, Wish, typed
from hostler.testing.fake_engine.shapes import Json
from hostler.testing.fake_engine.slots import Slot


class Messages(Dialect):
    """``/v1/messages``, Anthropic's."""

    def __init__(self, wish: Wish) -> None:
        super().__init__(wish)
        self.id = shapes.new_id("chatcmpl-")
        self.call_id = shapes.new_id("toolu_")

    def _block(self, arguments: Mapping[str, object]) -> Json:
        assert self.wish.call is not None
        return {"type": "tool_use", "id": self.call_id, "name": self.wish.call.name, "input": arguments}

    def opening(self, slot: Slot) -> bytes:
        counts = {"cache_read_input_tokens": slot.cache_n, "input_tokens": slot.processed_n, "output_tokens": 0}
        message: Json = {
            "id": self.id,
            "type": "message",
            "role": "assistant",
            "content": [],
            "model": self.wish.model,
            "stop_reason": None,
            "stop_sequence": None,
            "usage": counts,
        }
        block: Json = {"type": "text", "text": ""} if self.wish.call is None else self._block({})
        return typed(
            (
                {"type": "message_start", "message": message},
                {"type": "content_block_start", "index": 0, "content_block": block},
            )
        )

    def token(self, piece: str, slot: Slot) -> bytes:
        delta = {"type": "text_delta", "text": piece}
        if self.wish.call is not None:
            delta = {"type": "input_json_delta", "partial_json": piece}
        return typed(({"type": "content_block_delta", "index": 0, "delta": delta},))

    def _reason(self, end: Ending) -> str:
        if self.wish.call is not None:
            return "tool_use"
        return "max_tokens" if end.limited else "end_turn"

    def _stop(self, end: Ending) -> str | None:
        return None if end.limited else self.wish.stop or None

    def closing(self, text: str, end: Ending) -> Sequence[bytes]:
        delta = {"stop_reason": self._reason(end), "stop_sequence": self._stop(end)}
        return (
            typed(
                (
                    {"type": "content_block_stop", "index": 0},
                    {"type": "message_delta", "delta": delta, "usage": {"output_tokens": end.slot.decoded_n}},
                    {"type": "message_stop"},
                )
            ),
        )

    def whole(self, text: str, end: Ending) -> Json:
        block: Json = {"type": "text", "text": text}
        if self.wish.call is not None:
            block = self._block(shapes.load_object(text))
        slot = end.slot
        return {
            "id": self.id,
            "type": "message",
            "role": "assistant",
            "content": [block],
            "model": self.wish.model,
            "stop_reason": self._reason(end),
            "stop_sequence": self._stop(end),
            "usage": {
                "cache_read_input_tokens": slot.cache_n,
                "input_tokens": slot.processed_n,
                "output_tokens": slot.decoded_n,
            },
        }


class Responses(Dialect):
    """``/v1/responses``; no sequence numbers, as there."""

    def __init__(self, wish: Wish) -> None:
        super().__init__(wish)
        self.id = shapes.new_id("resp_")
        self.item_id = shapes.new_id("msg_" if wish.call is None else "fc_")

    def opening(self, slot: Slot) -> bytes:
        response: Json = {"id": self.id, "object": "response", "status": "in_progress"}
        item: Json = {
            "content": [],
            "id": self.item_id,
            "role": "assistant",
            "status": "in_progress",
            "type": "message",
        }
        if self.wish.call is not None:
            item = self._item("", "in_progress")
        events: list[Json] = [
            {"type": "response.created", "response": response},
            {"type": "response.in_progress", "response": response},
            {"type": "response.output_item.added", "item": item},
        ]
        if self.wish.call is None:
            part = {"type": "output_text", "text": ""}
            events.append({"type": "response.content_part.added", "item_id": self.item_id, "part": part})
        return typed(events)

    def token(self, piece: str, slot: Slot) -> bytes:
        kind = "output_text" if self.wish.call is None else "function_call_arguments"
        return typed(({"type": f"response.{kind}.delta", "item_id": self.item_id, "delta": piece},))

    def _part(self, text: str) -> Json:
        return {"type": "output_text", "annotations": [], "logprobs": [], "text": text}

    def _item(self, text: str, status: str = "completed") -> Json:
        if self.wish.call is not None:
            return {
                "type": "function_call",
                "status": status,
                "arguments": text,
                "call_id": self.item_id,
                "name": self.wish.call.name,
            }
        return {
            "type": "message",
            "status": status,
            "id": self.item_id,
            "content": [self._part(text)],
            "role": "assistant",
        }

    def _counts(self, slot: Slot) -> Json:
        return {
            "input_tokens": slot.prompt_n,
            "output_tokens": slot.decoded_n,
            "total_tokens": slot.prompt_n + slot.decoded_n,
            "input_tokens_details": {"cached_tokens": slot.cache_n},
        }

    def closing(self, text: str, end: Ending) -> Sequence[bytes]:
        events: list[Json] = []
        if self.wish.call is None:
            part = self._part(text)
            events += [
                {"type": "response.output_text.done", "item_id": self.item_id, "text": text},
                {"type": "response.content_part.done", "item_id": self.item_id, "part": part},
            ]
        completed = {"id": self.id, "object": "response", "created_at": self.created, "status": "completed"}
        completed |= {"model": self.wish.model, "output": [self._item(text)], "usage": self._counts(end.slot)}
        events += [
            {"type": "response.output_item.done", "item": self._item(text)},
            {"type": "response.completed", "response": completed, "timings": end.timings},
        ]
        return (typed(events),)

    def whole(self, text: str, end: Ending) -> Json:
        return {
            "completed_at": shapes.now(),
            "created_at": self.created,
            "id": self.id,
            "model": self.wish.model,
            "object": "response",
            "output": [self._item(text)],
            "status": "completed",
            "usage": self._counts(end.slot),
        }
