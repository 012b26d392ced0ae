"""What a response lacks: fields that the API's clients rely on, whole or in the events that carry a response."""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import UNSET, Raw, UnsetType

from hostler.fleet.learning.defects import Probe
from hostler.gateway.answering.repairs.protocol import Asked
from hostler.gateway.asking.checks.responses import Response

_fields = msgspec.json.Decoder(dict[str, Raw]).decode
_encode = msgspec.json.encode

_ALWAYS: Final = {
    "error": Raw(b"null"), "incomplete_details": Raw(b"null"), "instructions": Raw(b"null"), "metadata": Raw(b"{}"),
    "output": Raw(b"[]"), "parallel_tool_calls": Raw(b"true"), "previous_response_id": Raw(b"null"),
    "store": Raw(b"false"), "temperature": Raw(b"null"), "text": Raw(b'{"format":{"type":"text"}}'),
    "tool_choice": Raw(b'"auto"'), "tools": Raw(b"[]"), "top_p": Raw(b"null"), "truncation": Raw(b'"disabled"'),
}  # fmt: skip
CUT: Final = {"status": Raw(b'"incomplete"'), "incomplete_details": Raw(b'{"reason":"max_output_tokens"}')}
_COMPLETED: Final = b'"completed"'
_NO_DETAILS: Final = Raw(b'{"reasoning_tokens":0}')


_ECHOED: Final = ("instructions", "max_output_tokens", "parallel_tool_calls", "temperature", "top_p")


class _Usage(msgspec.Struct):
    input_tokens: int = 0
    output_tokens: int = 0
    output_tokens_details: Raw | UnsetType = UNSET


class _Bounds(msgspec.Struct):
    n_predict: float | None = None
    max_output_tokens: float | None = None
    max_tokens: float | None = None


_usage = msgspec.json.Decoder(_Usage).decode
_bounds = msgspec.json.Decoder(_Bounds).decode
_BOUND: Final = (b'"n_predict"', b'"max_output_tokens"', b'"max_tokens"')


def whole(asked: Asked, body: bytes) -> bytes:
    """A whole answer; one that cannot be read stays as it is."""
    try:
        return _encode(completed(asked, _fields(body)))
    except msgspec.MsgspecError:
        return body


def completed(asked: Asked, response: dict[str, Raw], created: int | None = None) -> dict[str, Raw]:
    """``response`` with every field that the API always has; what the engine said stays."""
    said = dict(_ALWAYS)
    said["model"] = Raw(_encode(asked.model))
    if created is not None:
        said["created_at"] = Raw(b"%d" % created)
    if isinstance(asked.peek, Response):
        wished = {name: getattr(asked.peek, name) for name in _ECHOED}
        said |= {name: Raw(_encode(value)) for name, value in wished.items() if value is not UNSET}
    response = said | response
    usage = response.get("usage")
    if usage is not None and bytes(usage) != b"null":
        response["usage"] = _with_details(usage)
        if bytes(response.get("status", _COMPLETED)) == _COMPLETED and _is_cut(asked, _usage(usage)):
            response |= CUT
    return response


def _is_cut(asked: Asked, said: _Usage) -> bool:
    """Whether an answer ended because no more of it was allowed, or fitted. llama.cpp says the same of every end."""
    if 0 < asked.context <= said.input_tokens + said.output_tokens:
        return True
    return 0 <= _bound(asked.body) <= said.output_tokens


def _bound(body: bytes) -> float:
    """The tokens that an answer may have; -1 where nobody says."""
    if not any(name in body for name in _BOUND):
        return -1
    try:
        said = _bounds(body)
    except msgspec.MsgspecError:
        return -1
    limits = (said.n_predict, said.max_output_tokens, said.max_tokens)  # in the order in which it obeys them
    return next((limit for limit in limits if limit is not None), -1)


def _with_details(usage: Raw) -> Raw:
    if _usage(usage).output_tokens_details is not UNSET:
        return usage
    return Raw(_encode(_fields(usage) | {"output_tokens_details": _NO_DETAILS}))


def is_whole(status: int, body: bytes) -> bool | None:
    """Whether a response of one token, which was all that it might have, has every field."""
    if status != 200:
        return None
    try:
        response = _fields(body)
        spent = "usage" in response and _usage(response["usage"]).output_tokens_details is not UNSET
    except msgspec.MsgspecError:
        return None
    return spent and has_fields(response) and all(response.get(name) == said for name, said in CUT.items())


def has_fields(response: dict[str, Raw]) -> bool:
    """Whether ``response`` has the fields that the API always has."""
    return response.keys() >= {*_ALWAYS, "id", "object", "created_at", "model", "status"}


BARE: Final = Probe(
    "bare_responses",
    "/v1/responses",
    {"input": "Hi", "max_output_tokens": 1},
    is_whole,
)
