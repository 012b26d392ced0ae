"""Whole answers and errors of Anthropic's messages API, as OpenAI's chat completions gives them."""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import UNSET, Raw, UnsetType

from hostler.errors import HostlerError, RemoteBusy, RemoteFailed, RemoteRefused
from hostler.gateway.translate.chat_by_messages import chat
from hostler.gateway.translate.chat_by_messages import messages as m

_FINISHES: Final[dict[str | None, chat.Finish]] = {
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}
_BUSY: Final = ("overloaded_error", "rate_limit_error")
_REFUSED: Final = ("authentication_error", "permission_error", "billing_error")
_TYPES: Final = {"authentication_error", "permission_error", "rate_limit_error"}

_answer = msgspec.json.Decoder(m.Answer)
_problem = msgspec.json.Decoder(m.Problem)


def completion(body: bytes, created: int) -> chat.Completion:
    """A whole answer. Raises RemoteFailed when ``body`` is none."""
    try:
        answer = _answer.decode(body)
    except (ValueError, RecursionError) as error:  # msgspec's errors are among them, and bad UTF-8
        raise not_understood(error) from None
    return chat.Completion(
        id=answer.id,
        created=created,
        model=answer.model,
        choices=[chat.Choice(_message(answer.content), finish_of(answer.stop_reason))],
        usage=usage_of(answer.usage),
    )


def _message(blocks: list[m.Said]) -> chat.Said:
    text = "".join(block.text for block in blocks if block.type == "text")
    thought = "".join(block.thinking for block in blocks if block.type == "thinking")
    calls = [_call(block) for block in blocks if block.type == "tool_use"]
    return chat.Said(
        content=text if text or not calls else None,
        reasoning_content=thought or UNSET,
        tool_calls=calls or UNSET,
    )


def _call(block: m.Said) -> chat.Given:
    return chat.Given(chat.GivenFunction(arguments_of(block.input), block.name), id=block.id, type="function")


def arguments_of(given: Raw | UnsetType) -> str:
    """What a call was given, as JSON in a string."""
    return bytes(given).decode("utf-8", "replace") if isinstance(given, Raw) else "{}"


def finish_of(reason: str | None) -> chat.Finish:
    """Why an answer ended; whatever is new in the other API was its own end."""
    return _FINISHES.get(reason, "stop")


def usage_of(said: m.Usage) -> chat.Usage:
    """Tokens as this API counts them: cached ones are part of the prompt."""
    cached = said.cache_read_input_tokens or 0
    prompt = (said.input_tokens or 0) + cached + (said.cache_creation_input_tokens or 0)
    answer = said.output_tokens or 0
    return chat.Usage(prompt, answer, prompt + answer, chat.PromptDetails(cached))


def problem(body: bytes) -> chat.Problem:
    """The body of an error; one that is not in its API's form is told as it is."""
    try:
        said = _problem.decode(body).error
    except (ValueError, RecursionError):
        said = m.Complaint("api_error", body[:2000].decode("utf-8", "replace"))
    kind = said.type if said.type in _TYPES else "invalid_request_error"
    return chat.Problem(chat.Complaint(said.message, kind, code=said.type))


def error_of(said: m.Complaint) -> HostlerError:
    """The error that a stream tells in place of an answer."""
    text = f"The remote ended its answer: {said.message or said.type}"
    if said.type in _BUSY:
        return RemoteBusy(text)
    return RemoteRefused(text) if said.type in _REFUSED else RemoteFailed(text)


def not_understood(error: Exception) -> RemoteFailed:
    """What the remote said is nothing of its API."""
    return RemoteFailed(
        f"The remote's answer is not of the API that it is said to speak: {error}.",
        hint="Correct `url` or `speaks` in the profile.",
    )
