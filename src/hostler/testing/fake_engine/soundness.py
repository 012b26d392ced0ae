"""An engine without the defects that are put right on the way to clients: what is other with the switch `sound`."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from hostler.testing.fake_engine.asks import Refused, mapping, refuse, sequence
from hostler.testing.fake_engine.dialects import Dialect, Ending, typed
from hostler.testing.fake_engine.generation import Plan
from hostler.testing.fake_engine.messages import Messages, Responses
from hostler.testing.fake_engine.shapes import Json, dump
from hostler.testing.fake_engine.slots import Slot

_FIELDS: Json = {
    "error": None, "incomplete_details": None, "instructions": None, "metadata": {}, "output": [],
    "parallel_tool_calls": True, "previous_response_id": None, "store": False, "temperature": None,
    "text": {"format": {"type": "text"}}, "tool_choice": "auto", "tools": [], "top_p": None, "truncation": "disabled",
}  # fmt: skip


def check(body: Mapping[str, object]) -> None:
    """Raise Refused for what the real one takes for its own failure, or for nothing."""
    for turn in map(mapping, sequence(body.get("messages"))):
        if not isinstance(turn.get("role"), str):
            raise refuse("'role' must be a string")
        if any(
            "text" not in part for part in map(mapping, sequence(turn.get("content"))) if part.get("type") == "text"
        ):
            raise refuse("'text' is required")
    if any("name" not in mapping(tool.get("function", tool)) for tool in map(mapping, sequence(body.get("tools")))):
        raise refuse("'name' is required")
    if isinstance(body.get("input"), Mapping) or body.get("encoding_format") not in (None, "float", "base64"):
        raise refuse("'input' must be text")


def told(path: str, refused: Refused) -> Refused:
    """``refused`` with the status and in the form of the API."""
    status = 400 if refused.status == 500 else refused.status
    if not path.startswith("/v1/messages"):
        return Refused(status, refused.body)
    fault = mapping(json.loads(refused.body)["error"])
    error = {"type": fault["type"], "message": fault["message"]}
    return Refused(status, dump({"type": "error", "error": error}))


def plan(made: Plan, body: Mapping[str, object]) -> Plan:
    """``made``, or what ends with the only answer that the request leaves."""
    pieces = () if made.pieces else _forced(body)
    if body.get("stop_sequences"):
        made = replace(made, limited=False)
    return replace(made, pieces=pieces, total=len(pieces), limited=False) if pieces else made


def _forced(body: Mapping[str, object]) -> Sequence[str]:
    """Its pieces: of a grammar, a format, or what a turn repeats."""
    literal = re.fullmatch(r'root ::= "(.*)"', str(body.get("grammar", "")))
    if literal is not None:
        return (literal[1],)
    schema = mapping(mapping(mapping(body.get("text")).get("format")).get("schema"))
    if options := sequence(schema.get("enum")):
        return (json.dumps(options[0]),)
    last = mapping((sequence(body.get("messages")) or [None])[-1])
    content = last.get("content")
    return (content[-1],) if last.get("role") == "assistant" and isinstance(content, str) and content else ()


def cut(vector: list[float], dimensions: object) -> list[float]:
    """``vector`` with so many numbers, of length 1."""
    if not isinstance(dimensions, int):
        return vector
    length = math.hypot(*vector[:dimensions])
    return [number / length for number in vector[:dimensions]]


class SoundResponses(Responses):
    """`/v1/responses` with everything that its clients reckon by."""

    _number = 0
    _first = b""  # the first token, which is made before what comes before it

    def opening(self, slot: Slot) -> bytes:
        return self._reckoned(super().opening(slot) + self._first)

    def token(self, piece: str, slot: Slot) -> bytes:
        event = super().token(piece, slot)
        if self._first:
            return self._reckoned(event)
        self._first = event
        return b""

    def closing(self, text: str, end: Ending) -> Sequence[bytes]:
        return [self._reckoned(events, limited=end.limited) for events in super().closing(text, end)]

    def whole(self, text: str, end: Ending) -> Json:
        return self._completed(super().whole(text, end), end.limited)

    def _reckoned(self, events: bytes, *, limited: bool = False) -> bytes:
        numbered: list[Json] = []
        for event in events.split(b"\n\n")[:-1]:
            said: Json = json.loads(event.partition(b"\ndata: ")[2])
            if "response" in said:
                said["response"] = self._completed(mapping(said["response"]), limited)
                said["type"] = "response.incomplete" if limited else said["type"]
            where: Json = {"sequence_number": self._number, "output_index": 0, "content_index": 0}
            numbered.append({**where, **said})
            self._number += 1
        return typed(numbered)

    def _completed(self, response: Mapping[str, object], limited: bool) -> Json:
        whole: Json = {**_FIELDS, "created_at": self.created, "model": self.wish.model, **response}
        if "usage" in whole:
            whole["usage"] = {**mapping(whole["usage"]), "output_tokens_details": {"reasoning_tokens": 0}}
        if limited:
            whole |= {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}
        return whole


class SoundMessages(Messages):
    """`/v1/messages` that calls its end by its name."""

    def _reason(self, end: Ending) -> str:
        return super()._reason(end) if self._stop(end) is None else "stop_sequence"


def dialect(made: Dialect) -> Dialect:
    """``made``, or what says the same soundly."""
    match made:
        case Responses():
            return SoundResponses(made.wish)
        case Messages():
            return SoundMessages(made.wish)
    return made
