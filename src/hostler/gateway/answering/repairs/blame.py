"""Errors of llama.cpp in the words of the API, and with the status of whose fault they are.

What it cannot read in a request it often answers with 500, as if it had failed itself; and in Anthropic's API too its
errors are those of OpenAI's.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec
from msgspec import UNSET, Raw, UnsetType

from hostler.fleet.learning.defects import Defect, Probe
from hostler.gateway.errors import Family

#: What its messages begin with, or hold, when a request is at fault.
_THEIRS: Final = re.compile(
    r"\[json\.exception\.|parse error|failed to parse|is required|must be|must contain|must not|requires|cannot use"
    r"|unsupported|not supported|is not allowed|invalid|expected|unrecognized|json_schema|grammar|schema"
    r"|failed to (?:tokenize|load|download|decode) (?:prompt|image|audio)|jinja|template|conversation roles"
    r"|only no echo|missing|too (?:long|large|many)|out of range|does not exist",
    re.IGNORECASE,
)
#: What an engine says of itself.
_OURS: Final = re.compile(
    r"compute error|slot|out of memory|alloc|kv cache|context shift|internal|decode:", re.IGNORECASE
)
_KINDS: Final = {
    400: "invalid_request_error",
    404: "not_found_error",
    413: "request_too_large",
    503: "overloaded_error",
}


class _Error(msgspec.Struct):
    message: str
    type: Raw | UnsetType = UNSET
    code: Raw | UnsetType = UNSET
    n_prompt_tokens: int | UnsetType = UNSET
    n_ctx: int | UnsetType = UNSET


class _Fault(msgspec.Struct):
    error: _Error


_fault = msgspec.json.Decoder(_Fault).decode


def blamed(status: int, body: bytes, family: Family) -> tuple[int, bytes]:
    """The status and the body of an error as the client gets it; both as they are where they were right."""
    try:
        error = _fault(body).error
    except msgspec.MsgspecError:
        error = _Error(body.decode("utf-8", "replace")[:1000] or "The engine failed without a word.")
        readable = False
    else:
        readable = True
    right = 400 if status in (500, 501) and _is_theirs(error.message) else status
    if readable and right == status and family != "anthropic":
        return status, body
    return right, msgspec.json.encode(_anthropic(right, error) if family == "anthropic" else _openai(right, error))


def _is_theirs(message: str) -> bool:
    return _OURS.search(message) is None and _THEIRS.search(message) is not None


def _openai(status: int, error: _Error) -> object:
    kind = "invalid_request_error" if status < 500 else "server_error"
    return {
        "error": {
            "message": error.message, "type": kind, "param": None,
            "code": "invalid_request" if status < 500 else "engine_error", "source": "engine",
        }
    }  # fmt: skip


def _anthropic(status: int, error: _Error) -> object:
    kind = _KINDS.get(status, "invalid_request_error" if status < 500 else "api_error")
    more = {name: value for name in ("n_prompt_tokens", "n_ctx") if (value := getattr(error, name)) is not UNSET}
    return {"type": "error", "error": {"type": kind, "message": error.message, "source": "engine", **more}}


# --- whether it is needed -----------------------------------------------------------------------------


def blames_rightly(status: int, body: bytes) -> bool | None:
    """Whether what is wrong with a request is told as that; an engine that takes it says nothing of the kind."""
    if status < 400:
        return None
    try:
        return status < 500 and bool(_fault(body).error.message)
    except msgspec.MsgspecError:
        return False


class _Envelope(msgspec.Struct):
    type: str
    error: _Error


def in_its_envelope(status: int, body: bytes) -> bool | None:
    """Whether an error of Anthropic's API comes in its form."""
    if status < 400:
        return None
    try:
        said = msgspec.json.decode(body, type=_Envelope)
    except msgspec.MsgspecError:
        return False
    return status < 500 and said.type == "error" and said.error.type is not UNSET


_CHAT: Final = "/v1/chat/completions"
_SPOILT: Final = Raw(b'{"messages": [')
_HI: Final = {"role": "user", "content": "Hi"}
_ROLE: Final = {"messages": [{"role": 5, "content": "Hi"}], "max_tokens": 1}
_TOOL: Final = {"messages": [_HI], "tools": [{"type": "function", "function": {}}], "max_tokens": 1}
_TEXT: Final = {"messages": [{"role": "user", "content": [{"type": "text"}]}], "max_tokens": 1}


def _asks(defect: Defect, path: str, *bodies: object) -> tuple[Probe, ...]:
    return tuple(Probe(defect, path, body, blames_rightly) for body in bodies)


#: Some an engine may take, and compute.
MISPLACED: Final = _asks("misplaced_blame", _CHAT, _SPOILT, _ROLE, _TOOL, _TEXT)
#: These nobody can.
FOREIGN: Final = (
    Probe("foreign_errors", "/v1/messages", {"max_tokens": 1}, in_its_envelope, computes=False),
    Probe("foreign_errors", "/v1/messages", _SPOILT, in_its_envelope, computes=False),
)


def misplaced_of_vectors(most: int) -> tuple[Probe, ...]:
    """The same of embeddings; the last one is a prompt of more tokens than the ``most`` that it can read."""
    bodies: tuple[object, ...] = ({"input": {}}, {"input": "x", "encoding_format": "no"}, {"input": [1] * (most + 1)})
    return _asks("misplaced_blame_of_vectors", "/v1/embeddings", _SPOILT, *bodies)
