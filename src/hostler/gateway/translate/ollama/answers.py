"""Whole answers and errors of the engine's API, as Ollama's gives them; and what its streams are made of."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Final

import msgspec
from msgspec import UNSET, Raw, UnsetType

from hostler.errors import RemoteFailed
from hostler.gateway.translate.ollama import shapes as o
from hostler.gateway.translate.ollama.asked import Kind
from hostler.gateway.translate.ollama.memory import Turn, packed

# --- what the engine says -----------------------------------------------------------------------------


class CallPiece(msgspec.Struct, gc=False):
    """A function and its arguments, or pieces of them."""

    name: str | None = None
    arguments: str | None = None


class Piece(msgspec.Struct):
    """A call, or a piece of the ``index``-th."""

    index: int = 0
    id: str | None = None
    function: CallPiece | None = None


class Delta(msgspec.Struct):
    """A message, or a piece of it."""

    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    tool_calls: list[Piece] | None = None


class Logprobs(msgspec.Struct):
    """What each token was likely to be; the two APIs say it alike."""

    content: list[Raw] | None = None


class Choice(msgspec.Struct):
    """The only choice: of a chat's stream, of a whole chat, or of a text."""

    delta: Delta | None = None
    message: Delta | None = None
    text: str | None = None
    finish_reason: str | None = None
    logprobs: Logprobs | None = None


class Usage(msgspec.Struct, gc=False):
    """Tokens."""

    prompt_tokens: int = 0
    completion_tokens: int = 0


class Timings(msgspec.Struct, gc=False):
    """What llama.cpp tells besides: tokens, and milliseconds for them."""

    cache_n: int = 0
    prompt_n: int = 0
    prompt_ms: float = 0.0
    predicted_n: int = 0
    predicted_ms: float = 0.0


class Heard(msgspec.Struct):
    """An answer or an event of a stream, of whichever path; ``content`` and ``stop_type`` are those of infills."""

    choices: list[Choice] = []
    usage: Usage | None = None
    timings: Timings | None = None
    content: str | None = None
    stop: bool = False
    stop_type: str | None = None
    error: Raw | UnsetType = UNSET


class _Vector(msgspec.Struct):
    embedding: Raw


class _Vectors(msgspec.Struct):
    data: list[_Vector]
    usage: Usage | None = None


#: Times beyond are nobody's; this API counts nanoseconds in 64 bits.
_LONGEST_S: Final = 9e9

_heard = msgspec.json.Decoder(Heard)
_vectors = msgspec.json.Decoder(_Vectors)
_floats = msgspec.json.Decoder(list[float])
_object = msgspec.json.Decoder(dict[str, Raw])
hear: Final = _heard.decode


# --- what it becomes ----------------------------------------------------------------------------------


class Stamps:
    """Times as the API writes them, from seconds since the Unix epoch; a second is written once."""

    __slots__ = ("_second", "_text")

    def __init__(self) -> None:
        self._second = -1
        self._text = ""

    def of(self, now: float) -> str:
        """``2026-11-21T20:15:04.123456Z``."""
        second = int(now)
        if second != self._second:
            self._second = second
            self._text = f"{datetime.fromtimestamp(second, UTC):%Y-%m-%dT%H:%M:%S}"
        return f"{self._text}.{int((now - second) * 1e6):06d}Z"


class Course(msgspec.Struct):
    """How one answer goes: its request's beginning, the first of it, what loading took, None where nobody said; in
    seconds."""

    model: str
    now: Callable[[], float]
    began: float
    load_s: float | None = None
    first: float | None = None

    def metrics(self, usage: Usage | None, timings: Timings | None) -> o.Metrics:
        """What it took until now. Without the engine's word its first piece parts the prompt's time from the rest."""
        end = self.now()
        times = timings or self._guessed(end)
        prompt_s, answer_s = times.prompt_ms / 1e3, times.predicted_ms / 1e3
        prompt = usage.prompt_tokens if usage is not None else times.prompt_n + times.cache_n
        return o.Metrics(
            total_duration=_ns(end - self.began),
            load_duration=_ns(end - self.began - prompt_s - answer_s if self.load_s is None else self.load_s),
            prompt_eval_count=prompt,
            prompt_eval_duration=_ns(prompt_s),
            eval_count=usage.completion_tokens if usage is not None else times.predicted_n,
            eval_duration=_ns(answer_s),
        )

    def _guessed(self, end: float) -> Timings:
        first = end if self.first is None else self.first
        before = max(0.0, first - self.began - (self.load_s or 0.0))
        return Timings(prompt_ms=1e3 * before, predicted_ms=1e3 * (end - first))


class Voice(msgspec.Struct, frozen=True):
    """In which form an answer is told: as the message of a chat, or as the response to a prompt, which may remember
    what was said before it."""

    kind: Kind
    turns: list[Turn] | None = None

    def line(self, model: str, stamp: str, text: str, thought: str) -> o.Told:
        """A piece of an answer."""
        if self.kind == "chat":
            return o.Told(model, stamp, message=o.Said("assistant", text, thinking=thought or UNSET))
        return o.Told(model, stamp, response=text, thinking=thought or UNSET)

    def remembered(self, answer: str) -> list[int] | UnsetType:
        """What the next prompt may bring; nothing for chats, which bring their messages."""
        if self.turns is None:
            return UNSET
        return packed([*self.turns, ("assistant", answer)]) or UNSET


def ended(line: o.Told, reason: str | None, metrics: o.Metrics) -> o.Told:
    """``line`` as the last one."""
    line.done = True
    line.done_reason = "length" if reason in ("length", "limit") else "stop"
    for name in o.Metrics.__struct_fields__:
        setattr(line, name, getattr(metrics, name))
    return line


def calls_of(pieces: Sequence[Piece]) -> list[o.Given]:
    """Whole calls, with their arguments as objects."""
    return [
        o.Given(
            piece.id or f"call_{number}",
            o.GivenFunction(
                number,
                (piece.function and piece.function.name) or "",
                arguments_of((piece.function and piece.function.arguments) or ""),
            ),
        )
        for number, piece in enumerate(pieces)
    ]


def arguments_of(text: str) -> Raw:
    """What a model wrote as arguments; what is no object stands in one, as a model may write anything."""
    if not text.strip():
        return Raw(b"{}")
    try:
        _object.decode(text)
    except (msgspec.MsgspecError, RecursionError):
        return Raw(msgspec.json.encode({"arguments": text}))
    return Raw(text.encode())


def whole(body: bytes, voice: Voice, course: Course) -> bytes:
    """A whole answer. Raises RemoteFailed when ``body`` is none."""
    try:
        heard = hear(body)
    except (ValueError, RecursionError) as error:
        raise not_understood(error) from None
    choice = heard.choices[0] if heard.choices else Choice(text=heard.content, finish_reason=heard.stop_type)
    said = choice.message or Delta(content=choice.text)
    thought = said.reasoning_content or said.reasoning or ""
    line = voice.line(course.model, Stamps().of(course.now()), said.content or "", thought)
    if said.tool_calls and isinstance(line.message, o.Said):
        line.message.tool_calls = calls_of(said.tool_calls)
    if choice.logprobs is not None and choice.logprobs.content:
        line.logprobs = choice.logprobs.content
    line.context = voice.remembered(said.content or "")
    return msgspec.json.encode(ended(line, choice.finish_reason, course.metrics(heard.usage, heard.timings)))


def embedded(body: bytes, kind: Kind, dimensions: int | None, course: Course) -> bytes:
    """Vectors, as long as was asked. Raises RemoteFailed when ``body`` has none."""
    try:
        heard = _vectors.decode(body)
        vectors = [_shortened(vector.embedding, dimensions) for vector in heard.data]
    except (ValueError, RecursionError) as error:
        raise not_understood(error) from None
    if kind == "embeddings":
        return msgspec.json.encode(o.Embedding(vectors[0] if vectors else Raw(b"[]")))
    metrics = course.metrics(heard.usage, None)
    return msgspec.json.encode(
        o.Embedded(course.model, vectors, metrics.total_duration, metrics.load_duration, metrics.prompt_eval_count)
    )


def _shortened(vector: Raw, dimensions: int | None) -> Raw:
    """Its first ``dimensions``, of length 1 again, for models that were trained for that."""
    if not dimensions:
        return vector
    values = _floats.decode(vector)
    if dimensions >= len(values):
        return vector
    length = math.sqrt(sum(value * value for value in values[:dimensions])) or 1.0
    return Raw(msgspec.json.encode([value / length for value in values[:dimensions]]))


def not_understood(error: Exception) -> RemoteFailed:
    """What was to be translated is nothing of the engine's API."""
    return RemoteFailed(f"The answer is not of the API that is expected: {error}.", hint="Try again.")


def _ns(seconds: float) -> int:
    return int(min(max(seconds, 0.0), _LONGEST_S) * 1e9)


# --- errors -------------------------------------------------------------------------------------------


class _Complaint(msgspec.Struct):
    message: str = ""
    code: str | int | None = None
    hint: str = ""
    source: str = ""
    cause: str = ""
    evidence: str = ""


class _Problem(msgspec.Struct):
    error: _Complaint | str


_problem = msgspec.json.Decoder(_Problem)
_complaint = msgspec.json.Decoder(_Complaint | str)


def problem(body: bytes, model: str) -> o.Problem:
    """The body of an error; one in an unknown form is told as it is."""
    try:
        return _told(_problem.decode(body).error, model)
    except (ValueError, RecursionError):
        return o.Problem(body[:2000].decode("utf-8", "replace") or "no answer")


def complaint(error: Raw, model: str) -> tuple[o.Problem, int]:
    """The same, for one inside a stream; and its status, 0 where it has none."""
    try:
        said = _complaint.decode(error)
    except (ValueError, RecursionError):
        return o.Problem(bytes(error)[:2000].decode("utf-8", "replace")), 0
    status = said.code if isinstance(said, _Complaint) and isinstance(said.code, int) else 0
    return _told(said, model), status if 400 <= status < 600 else 0


def _told(said: _Complaint | str, model: str) -> o.Problem:
    if isinstance(said, str):
        return o.Problem(said)
    code = said.code if isinstance(said.code, str) else ""
    if code == "model_not_found":
        return o.Problem(f"model '{model}' not found", code, said.source, said.message)
    return o.Problem(said.message or "no answer", code, said.source, cause=said.cause, evidence=said.evidence)
