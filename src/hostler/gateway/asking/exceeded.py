"""The refusal of a request that does not fit into its profile's context, and engines' own words for it."""

from __future__ import annotations

import re
from typing import Final

import msgspec

from hostler.errors import RequestError

#: llama.cpp's, OpenAI's (and vLLM's), Anthropic's.
_SAID: Final = re.compile(
    rb"exceed_context_size_error|context_length_exceeded|exceeds the available context size"
    rb"|maximum context length|prompt is too long"
)
_NEEDED: Final = re.compile(rb"(?<!size \()\b(\d{1,12}) (?:input )?tokens")
_AVAILABLE: Final = re.compile(rb"(?:context length is |context size \(|> )(\d{1,12})")


class ContextExceeded(RequestError):
    """The request has more tokens than the context of its profile: ``needed``, of ``available``; None if not known."""

    code = "context_length_exceeded"
    default_hint = "Send less, or give the profile a larger `context`."
    needed: int | None = None
    available: int | None = None

    @classmethod
    def of(cls, needed: int, available: int) -> ContextExceeded:
        """With both numbers.

        Coding agents compact their conversation when they read one of three phrases, so each is in the message:
        OpenAI's, llama.cpp's, and Anthropic's at its end.
        """
        error = cls(
            f"This model's maximum context length is {available} tokens: the request ({needed} tokens) exceeds the "
            f"available context size ({available} tokens), prompt is too long: {needed} tokens > {available} maximum."
        )
        error.needed, error.available = needed, available
        return error


class _Fault(msgspec.Struct):
    message: str = ""
    n_prompt_tokens: int | None = None
    n_ctx: int | None = None


class _Problem(msgspec.Struct):
    error: _Fault | None = None
    message: str = ""


_problem = msgspec.json.Decoder(_Problem)


def exceeded(body: bytes) -> ContextExceeded | None:
    """What an engine's error says of its context; None when it is about something else."""
    if _SAID.search(body) is None:
        return None
    try:
        read = _problem.decode(body)
    except ValueError:  # msgspec's errors are among them
        return None
    fault = read.error or _Fault(read.message)
    needed = fault.n_prompt_tokens or _number(_NEEDED, fault.message)
    available = fault.n_ctx or _number(_AVAILABLE, fault.message)
    if needed is None or available is None:
        return ContextExceeded(fault.message or "The prompt is too long.")
    return ContextExceeded.of(needed, available)


def _number(pattern: re.Pattern[bytes], text: str) -> int | None:
    """The last, as OpenAI's sentence has the model's own number first."""
    found = pattern.findall(text.encode())
    return int(found[-1]) if found else None
