"""Answers of a model, piece by piece."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Literal

import msgspec

from hostler.client.problems import from_event
from hostler.client.sse import Comment, messages
from hostler.client.transport import ConnectionLost, Transport

DONE = "[DONE]"


class Turn(msgspec.Struct, frozen=True):
    """One message of a conversation."""

    role: Literal["system", "user", "assistant"]
    content: str


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """What a profile is asked: the turns of a chat, or one text to continue.

    With ``continues`` the last turn's content is a text that a completion profile continues.
    """

    profile: str
    turns: tuple[Turn, ...]
    continues: bool = False
    max_tokens: int | None = None
    temperature: float | None = None


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens of one answer, and how fast they came; None where the engine did not tell."""

    tokens_in: int | None = None
    tokens_out: int | None = None
    prompt_tokens_per_s: float | None = None
    tokens_per_s: float | None = None


class Delta(msgspec.Struct, frozen=True, kw_only=True):
    """A piece of an answer: text, reasoning text, news while waiting, and in the end the usage."""

    text: str = ""
    reasoning: str = ""
    waiting: str = ""
    finish: str | None = None
    usage: Usage | None = None


class _Piece(msgspec.Struct):
    content: str | None = None
    reasoning_content: str | None = None


class _Choice(msgspec.Struct):
    delta: _Piece | None = None
    text: str | None = None
    finish_reason: str | None = None


class _Tokens(msgspec.Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class _Timings(msgspec.Struct):
    prompt_n: int | None = None
    predicted_n: int | None = None
    prompt_per_second: float | None = None
    predicted_per_second: float | None = None


class _Chunk(msgspec.Struct):
    choices: list[_Choice] = []
    usage: _Tokens | None = None
    timings: _Timings | None = None


class _Body(msgspec.Struct, omit_defaults=True):
    model: str
    stream: bool
    messages: tuple[Turn, ...] | None = None
    prompt: str | None = None
    max_tokens: int | None = None
    temperature: float | None = None


_chunk = msgspec.json.Decoder(_Chunk)


async def answer(transport: Transport, question: Question) -> AsyncGenerator[Delta, None]:
    """Stream one answer. Raises the gateway's error; ConnectionLost when the stream ends before its end."""
    path = "/v1/completions" if question.continues else "/v1/chat/completions"
    async with transport.lines("POST", path, body=msgspec.json.encode(_body(question))) as lines:
        async for message in messages(lines):
            if isinstance(message, Comment):
                yield Delta(waiting=message.text)
            elif message.data == DONE:
                return
            else:
                yield _delta(message.data.encode())
    raise ConnectionLost(
        "The answer broke off before its end.", hint="Ask again; the engine is started anew by itself."
    )


def _body(question: Question) -> _Body:
    return _Body(
        model=question.profile,
        stream=True,
        messages=None if question.continues else question.turns,
        prompt=question.turns[-1].content if question.continues else None,
        max_tokens=question.max_tokens,
        temperature=question.temperature,
    )


def _delta(data: bytes) -> Delta:
    error = from_event(data)
    if error is not None:
        raise error
    chunk = _chunk.decode(data)
    usage = _usage(chunk)
    if not chunk.choices:
        return Delta(usage=usage)
    choice = chunk.choices[0]
    piece = choice.delta or _Piece(content=choice.text)
    return Delta(
        text=piece.content or "",
        reasoning=piece.reasoning_content or "",
        finish=choice.finish_reason,
        usage=usage,
    )


def _usage(chunk: _Chunk) -> Usage | None:
    if chunk.usage is None and chunk.timings is None:
        return None
    tokens, timings = chunk.usage or _Tokens(), chunk.timings or _Timings()
    return Usage(
        tokens_in=_first(tokens.prompt_tokens, timings.prompt_n),
        tokens_out=_first(tokens.completion_tokens, timings.predicted_n),
        prompt_tokens_per_s=timings.prompt_per_second,
        tokens_per_s=timings.predicted_per_second,
    )


def _first(first: int | None, second: int | None) -> int | None:
    return second if first is None else first
