"""What the gateway itself says inside an event stream."""

from __future__ import annotations

from typing import Final

import msgspec

from hostler.clock import Clock
from hostler.errors import EngineError
from hostler.fleet.protocol import Served, Standing
from hostler.gateway.errors import Family, event_of
from hostler.gateway.routes import Route

#: What a stream's Content-Type begins with: events, or Ollama's lines.
STREAMS: Final = (b"text/event-stream", b"application/x-ndjson")
STRANGE_LIMIT: Final = 1 * 2**20
STREAM_LINES: Final = b"content-type: text/event-stream\r\ncache-control: no-cache\r\nx-accel-buffering: no\r\n"


def comment_of(profile: str, standing: Standing) -> bytes:
    """``: hostler place=2 stage="loading tensors" fraction=0.40 elapsed=3.1 wait=4`` as one SSE comment."""
    place = f" place={standing.position}" if standing.position else ""
    fraction = "" if standing.fraction is None else f" fraction={standing.fraction:.2f}"
    wait = "" if standing.wait_s is None else f" wait={standing.wait_s:.0f}"
    waited = f" elapsed={standing.elapsed_s:.1f}{wait}"
    text = f': hostler profile="{profile}"{place} stage="{standing.stage}"{fraction}{waited}'
    return text.replace("\n", " ").replace("\r", " ").encode() + b"\n\n"


class Notes:
    """Where a request stands, in the reasoning field of its chat stream: for people whose program shows that."""

    __slots__ = ("_created", "_profile", "_request", "_told")

    def __init__(self, request: str, profile: str, now: float) -> None:
        self._request = request
        self._profile = profile
        self._created = int(now)
        self._told = ""

    @staticmethod
    def of_chat(served: Served, route: Route, request: str, clock: Clock) -> Notes | None:
        """Those of a request; None where nobody wants them or there is no such field."""
        return Notes(request, served.name, clock.wall()) if served.notes and route.api == "chat" else None

    def of(self, standing: Standing) -> bytes:
        """One chunk; nothing while there is nothing new to say."""
        note = note_of(self._profile, standing)
        if note == self._told:
            return b""
        self._told = note
        chunk = {
            "id": f"chatcmpl-{self._request}",
            "object": "chat.completion.chunk",
            "created": self._created,
            "model": self._profile,
            "choices": [
                {"index": 0, "delta": {"role": "assistant", "reasoning_content": f"{note}\n"}, "finish_reason": None}
            ],
        }
        return b"data: " + msgspec.json.encode(chunk) + b"\n\n"


def note_of(profile: str, standing: Standing) -> str:
    """``Loading gemma: loading tensors, 40%.``, in steps of a tenth; or the place in line."""
    if standing.stage == "queued":
        return f"Waiting for {profile}: place {standing.position} in line."
    done = "" if standing.fraction is None else f", {int(10 * standing.fraction)}0%"
    behind = f", place {standing.position} in line" if standing.position > 1 else ""
    return f"Loading {profile}: {standing.stage}{done}{behind}."


class Collected:
    """An answer that is not a stream, and is to be told in one that has already begun; its first MiB."""

    __slots__ = ("_pieces", "_size")

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._size = 0

    def add(self, data: bytes) -> None:
        """A piece of it."""
        if self._size < STRANGE_LIMIT:
            self._pieces.append(data)
            self._size += len(data)

    def event(self, family: Family) -> bytes:
        """All of it; an error keeps its body."""
        return as_event(b"".join(self._pieces), family)


def as_event(answer: bytes, family: Family) -> bytes:
    """An answer that is not a stream, told in a stream that has already begun; an error keeps its body."""
    try:
        data = msgspec.json.encode(msgspec.json.decode(answer))
    except (msgspec.DecodeError, RecursionError):
        return event_of(EngineError("The engine gave an answer that is not JSON."), family)
    if family == "anthropic":
        return b"event: error\ndata: " + data + b"\n\n"
    return b"data: " + data + b"\n\ndata: [DONE]\n\n"
