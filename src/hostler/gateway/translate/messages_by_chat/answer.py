"""Whole answers and errors of OpenAI's chat completions, as Anthropic's messages API gives them."""

from __future__ import annotations

import re
from typing import Final

import msgspec
from msgspec import Raw

from hostler.errors import HostlerError, RemoteBusy, RemoteFailed, RemoteRefused
from hostler.gateway.translate.chat_by_messages.answer import not_understood
from hostler.gateway.translate.messages_by_chat import shapes as s

_STOPS: Final[dict[str | None, s.Stop]] = {
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "function_call": "tool_use",
    "content_filter": "refusal",
}
_TYPES: Final = {
    "invalid_request_error", "authentication_error", "permission_error", "not_found_error", "rate_limit_error",
    "request_too_large", "api_error", "overloaded_error",
}  # fmt: skip
_BUSY: Final = re.compile(r"rate_limit|overloaded|429|503|quota|unavailable")
_REFUSED: Final = re.compile(r"auth|permission|api_key|401|402|403|billing")
_NOT_IN_IDS: Final = re.compile(r"[^a-zA-Z0-9_-]")

_answer = msgspec.json.Decoder(s.HeardAnswer)
_is_object = msgspec.json.Decoder(dict[str, Raw])


def heard(data: bytes) -> s.HeardAnswer:
    """A whole answer, or a chunk of one. Raises RemoteFailed when it is neither."""
    try:
        return _answer.decode(data)
    except (ValueError, RecursionError) as error:  # msgspec's errors are among them, and bad UTF-8
        raise not_understood(error) from None


def answer(body: bytes) -> s.Answer:
    """A whole answer. Raises RemoteFailed when ``body`` is none, or tells an error."""
    said = heard(body)
    if said.error is not None:
        raise error_of(said.error)
    choice = next(iter(said.choices or ()), None)
    if choice is None or choice.message is None:
        raise not_understood(ValueError("it has no choices"))
    message = choice.message
    blocks: list[s.Block] = [s.Thought(message.thought)] if message.thought else []
    blocks += [s.Text(message.said)] if message.said else []
    calls = [_call(call, number) for number, call in enumerate(message.tool_calls or ())]
    stop = stop_of(choice.finish_reason, said.stopping_word, called=bool(calls))
    return s.Answer(said.id, said.model, [*blocks, *calls], stop, said.stopping_word, usage=usage_of(said.usage))


def _call(call: s.HeardCall, number: int) -> s.ToolUse:
    return s.ToolUse(id_of(call.id, number), call.function.name or "", _input(call.function.arguments or ""))


def id_of(given: str | None, number: int) -> str:
    """A call's id in the letters that this API's ids have; some servers give none."""
    return _NOT_IN_IDS.sub("_", given or "") or f"toolu_{number}"


def _input(arguments: str) -> Raw:
    """Arguments as an object; what a model wrote wrongly stands in one, so that the conversation can go on."""
    if not arguments.strip():
        return Raw(b"{}")
    try:
        _is_object.decode(arguments)
    except (ValueError, RecursionError):
        return Raw(msgspec.json.encode({"arguments": arguments}))
    return Raw(arguments.encode())


def stop_of(reason: str | None, word: str | None, *, called: bool) -> s.Stop:
    """Why an answer ended, where a stop sequence may be the ``word`` that did; several servers say `stop` behind a
    call."""
    return _STOPS.get(reason, "tool_use" if called else "end_turn" if word is None else "stop_sequence")


def usage_of(said: s.HeardUsage | None) -> s.Usage:
    """Tokens as this API counts them: cached ones apart."""
    if said is None:
        return s.Usage()
    details = said.prompt_tokens_details
    cached = 0 if details is None else details.cached_tokens or 0
    return s.Usage(max(0, (said.prompt_tokens or 0) - cached), said.completion_tokens or 0, 0, cached)


def prompt_of(said: s.HeardProgress) -> s.Usage:
    """Tokens of a prompt of which nothing is answered yet."""
    return s.Usage(max(0, said.total - said.cache), 0, 0, said.cache)


def problem(body: bytes) -> s.Problem:
    """The body of an error; one that is not in its API's form is told as it is."""
    try:
        fault = _answer.decode(body).error
    except (ValueError, RecursionError):
        fault = None
    if fault is None:
        return s.Problem(s.Complaint("invalid_request_error", body[:2000].decode("utf-8", "replace")))
    return s.Problem(s.Complaint(fault.type if fault.type in _TYPES else "invalid_request_error", fault.message))


def error_of(fault: s.HeardFault) -> HostlerError:
    """The error that comes in place of an answer, or in the middle of a stream."""
    text = f"The remote ended its answer: {fault.message or fault.type or fault.code}"
    kind = f"{fault.type} {fault.code}".lower()
    if _BUSY.search(kind):
        return RemoteBusy(text)
    return RemoteRefused(text) if _REFUSED.search(kind) else RemoteFailed(text)
