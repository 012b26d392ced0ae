"""The fate of a request, read off what its client got: pure.

1. Answered: whole and well-formed, with the tokens that its own count claims.
2. Refused: an error instead of an answer, well-formed, with Retry-After where trying again helps.
3. Left: its client, or an operator, ended it as the storm had drawn.
4. Cut: begun, then ended by an error that says why.
5. Broken: anything else. There is no gateway that may do that.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from hostler.conformance.asks import Ask, Phase
from hostler.testing import http

DONE = "[DONE]"
CANCELLED = "cancelled"


class Answered(msgspec.Struct, frozen=True, tag="answered"):
    """``tokens`` as the answer counts them; None where it does not."""

    tokens: int | None


class Refused(msgspec.Struct, frozen=True, tag="refused"):
    """``code`` is the error's, ``retry_after_s`` what its head says."""

    status: int
    code: str
    message: str
    retry_after_s: float | None


class Left(msgspec.Struct, frozen=True, tag="left"):
    """The storm ended it, in that phase."""

    phase: Phase


class Cut(msgspec.Struct, frozen=True, tag="cut"):
    """An error event after the first byte."""

    code: str
    message: str


class Broken(msgspec.Struct, frozen=True, tag="broken"):
    """What no client can make sense of."""

    reason: str


Fate = Answered | Refused | Left | Cut | Broken


class _Said(msgspec.Struct):
    message: str = ""
    code: str | int | None = None
    type: str | None = None


class _Envelope(msgspec.Struct):
    error: _Said


class _Text(msgspec.Struct):
    content: str | None = None


class _Choice(msgspec.Struct):
    message: _Text | None = None
    delta: _Text | None = None
    text: str | None = None
    finish_reason: str | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int | None = None


class _Answer(msgspec.Struct):
    """A whole answer, or one chunk of a stream."""

    choices: list[_Choice]
    object: str = ""
    id: str = ""
    model: str = ""
    usage: _Usage | None = None


_answer = msgspec.json.Decoder(_Answer)
_envelope = msgspec.json.Decoder(_Envelope)


class Malformed(Exception):
    """The text says what is wrong with an answer."""


def judged(ask: Ask, response: http.Response, *, exact: bool) -> Fate:
    """What became of ``ask``, from the whole response; ``exact``: the answer has as many tokens as were asked for."""
    try:
        return _of(ask, response, exact)
    except Malformed as wrong:
        return _left(ask, Broken(str(wrong)))
    except msgspec.DecodeError as wrong:
        return Broken(f"the answer cannot be read ({wrong}): {response.body[:200]!r}")


def _of(ask: Ask, response: http.Response, exact: bool) -> Fate:
    if response.status != 200:
        return _left(ask, refusal(response))
    if not response.complete:
        raise Malformed(f"the connection ended inside the answer, after {len(response.body)} bytes")
    if ask.stream:
        return _left(ask, _streamed(ask, response, exact))
    tokens = _whole(ask, _answer.decode(response.body), exact)
    return Answered(tokens)


def _left(ask: Ask, fate: Fate) -> Fate:
    """An operator's cancel shows as a refusal or a cut; of an answer without events, as a connection cut short."""
    if ask.leaving is None or ask.leaving.phase != "operator":
        return fate
    told = isinstance(fate, (Refused, Cut)) and fate.code == CANCELLED
    silent = isinstance(fate, Broken) and not ask.stream and "ended inside" in fate.reason
    return Left("operator") if told or silent else fate


def refusal(response: http.Response) -> Refused:
    """The error in place of an answer. Raises Malformed."""
    if not response.complete:
        raise Malformed(f"the connection ended inside the error ({response.status})")
    try:
        error = _envelope.decode(response.body).error
    except msgspec.DecodeError as wrong:
        raise Malformed(f"{response.status} without an error object: {response.body[:200]!r}") from wrong
    if not error.message:
        raise Malformed(f"{response.status} without a message")
    told = response.headers.get("retry-after", "")
    retry_after_s = float(told) if told.isdigit() else None
    if told and not retry_after_s:
        raise Malformed(f"Retry-After is {told!r}")
    final = response.headers.get("x-should-retry") == "false"
    if response.status in (429, 503) and retry_after_s is None and not final:
        raise Malformed(f"{response.status} ({error.code}) without Retry-After")
    return Refused(response.status, str(error.code or error.type or ""), error.message, retry_after_s)


def _whole(ask: Ask, answer: _Answer, exact: bool) -> int | None:
    if len(answer.choices) != 1:
        raise Malformed(f"{len(answer.choices)} choices, one was asked for")
    choice = answer.choices[0]
    if choice.finish_reason is None:
        raise Malformed("an answer without a finish reason")
    said = choice.text if ask.subject.api == "completions" else choice.message and choice.message.content
    if said is None:
        raise Malformed("an answer without text")
    return _counted(ask, choice.finish_reason, answer.usage, answer.model, exact)


def _counted(ask: Ask, finish: str, usage: _Usage | None, model: str, exact: bool) -> int | None:
    """The tokens; raises Malformed when they are not what was asked for."""
    if exact and model != ask.subject.name:
        raise Malformed(f"answered as {model!r}, {ask.subject.name!r} was asked")
    if usage is None:
        if exact:
            raise Malformed("the tokens are not counted")
        return None
    count = usage.completion_tokens
    if count > ask.tokens or (count < ask.tokens and (exact or finish == "length")):
        raise Malformed(f"{count} tokens (finish reason {finish}), {ask.tokens} were asked for")
    if usage.total_tokens is not None and usage.total_tokens != usage.prompt_tokens + count:
        raise Malformed(f"{usage.prompt_tokens} and {count} tokens are counted as {usage.total_tokens}")
    return count


def _streamed(ask: Ask, response: http.Response, exact: bool) -> Fate:
    if not response.headers.get("content-type", "").startswith("text/event-stream"):
        raise Malformed(f"a stream of {response.headers.get('content-type')!r}")
    data = [event.data for event in response.events() if event.data]
    if not data or data[-1] != DONE or DONE in data[:-1]:
        raise Malformed(f"{data.count(DONE)} ends in {len(data)} events; the last is {data[-1:]!r}"[:300])
    cut = next((error for text in data[:-1] if (error := cut_by(text))), None)
    if cut is not None:
        return cut
    chunks = [_answer.decode(text) for text in data[:-1]]
    finishes = [c.finish_reason for chunk in chunks for c in chunk.choices if c.finish_reason is not None]
    if len(finishes) != 1:
        raise Malformed(f"{len(finishes)} finish reasons in a stream of {len(chunks)} chunks")
    if len({chunk.id for chunk in chunks if any(c.text or (c.delta and c.delta.content) for c in chunk.choices)}) > 1:
        raise Malformed("chunks of different answers in one stream")
    return Answered(_counted(ask, finishes[0], _usage(chunks), chunks[-1].model, exact))


def cut_by(text: str) -> Cut | None:
    """The error that an event of a stream says; None for any other event."""
    try:
        error = _envelope.decode(text.encode()).error
    except msgspec.DecodeError:
        return None
    return Cut(str(error.code or error.type or ""), error.message)


def _usage(chunks: Sequence[_Answer]) -> _Usage | None:
    counted = [chunk.usage for chunk in chunks if chunk.usage is not None]
    return counted[-1] if counted else None
