"""Event streams of the engine's API, as Ollama's lines of JSON."""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import UNSET, Raw

from hostler.gateway.translate.events import Events
from hostler.gateway.translate.ollama import shapes as o
from hostler.gateway.translate.ollama.answers import (
    CallPiece,
    Choice,
    Course,
    Delta,
    Heard,
    Piece,
    Stamps,
    Timings,
    Usage,
    Voice,
    calls_of,
    complaint,
    ended,
    hear,
    not_understood,
)

_DONE: Final = b"[DONE]"
_BROKEN: Final = o.Problem("The answer ended in the middle.", "engine_lost")
_encode: Final = msgspec.json.Encoder().encode


class OllamaStream:
    """Reads events, cut anywhere, and gives lines. ``complete``: its last line was given, an error's too.

    ``failed`` is the error that it ended with, and its status, 0 where it has none. Comments, by which a stream says
    that it is still there, are no lines: these clients read nothing else.
    """

    def __init__(self, voice: Voice, course: Course) -> None:
        self.complete = False
        self.failed: tuple[o.Problem, int] | None = None
        self._voice = voice
        self._course = course
        self._events = Events()
        self._stamps = Stamps()
        self._calls: list[Piece] = []
        self._text: list[str] | None = None if voice.turns is None else []
        self._reason: str | None = None
        self._usage: Usage | None = None
        self._timings: Timings | None = None

    def feed(self, data: bytes) -> bytes:
        """The lines that these bytes complete. Raises RemoteFailed when they are no such stream."""
        lines = []
        try:
            for event in self._events.feed(data):
                if self.complete:
                    break
                lines.append(self._end() if event == _DONE else self._take(hear(event)))
        except (ValueError, RecursionError) as error:  # msgspec's errors are ValueErrors
            raise not_understood(error) from None
        return b"".join(lines)

    def end(self) -> bytes:
        """What is left to say when the stream is over; an error when it broke off."""
        if self.complete:
            return b""
        if self._reason is not None:
            return self._end()
        return self.fail(_BROKEN)

    def fail(self, problem: o.Problem, status: int = 0) -> bytes:
        """End with an error."""
        self.complete = True
        self.failed = problem, status
        return _encode(problem) + b"\n"

    def _take(self, heard: Heard) -> bytes:
        if isinstance(heard.error, Raw):
            return self.fail(*complaint(heard.error, self._course.model))
        self._usage = heard.usage or self._usage
        self._timings = heard.timings or self._timings
        if heard.choices:
            return self._choice(heard.choices[0])
        if heard.stop:
            self._reason = heard.stop_type or "stop"
        return self._piece(heard.content, None, None) if heard.content else b""

    def _choice(self, choice: Choice) -> bytes:
        self._reason = choice.finish_reason or self._reason
        said = choice.delta or Delta(content=choice.text)
        if said.tool_calls:
            self._collect(said.tool_calls)
        thought = said.reasoning_content or said.reasoning
        logprobs = choice.logprobs.content if choice.logprobs is not None else None
        return self._piece(said.content, thought, logprobs) if said.content or thought or logprobs else b""

    def _piece(self, text: str | None, thought: str | None, logprobs: list[Raw] | None) -> bytes:
        now = self._course.now()
        if self._course.first is None:
            self._course.first = now
        if self._text is not None and text:
            self._text.append(text)
        line = self._voice.line(self._course.model, self._stamps.of(now), text or "", thought or "")
        if logprobs:
            line.logprobs = logprobs
        return _encode(line) + b"\n"

    def _collect(self, pieces: list[Piece]) -> None:
        """Calls come in pieces; they are told whole, because their arguments are objects."""
        for piece in pieces:
            known = next((call for call in self._calls if call.index == piece.index), None)
            if known is None or known.function is None:
                piece.function = piece.function or CallPiece()
                self._calls.append(piece)
            elif piece.function is not None:
                known.id = known.id or piece.id
                known.function.name = (known.function.name or "") + (piece.function.name or "")
                known.function.arguments = (known.function.arguments or "") + (piece.function.arguments or "")

    def _end(self) -> bytes:
        self.complete = True
        stamp = self._stamps.of(self._course.now())
        lines = b""
        if self._calls and self._voice.kind == "chat":
            said = o.Said("assistant", "", tool_calls=calls_of(self._calls))
            lines = _encode(o.Told(self._course.model, stamp, message=said)) + b"\n"
        last = self._voice.line(self._course.model, stamp, "", "")
        last.context = UNSET if self._text is None else self._voice.remembered("".join(self._text))
        metrics = self._course.metrics(self._usage, self._timings)
        return lines + _encode(ended(last, self._reason, metrics)) + b"\n"
