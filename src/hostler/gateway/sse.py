"""What the gateway itself says inside an event stream."""

from __future__ import annotations

import msgspec

from hostler.errors import EngineError
from hostler.fleet.protocol import Standing
from hostler.gateway.errors import Family, event_of


def comment_of(profile: str, standing: Standing) -> bytes:
    """``: hostler place=2 stage="loading tensors" fraction=0.40 elapsed=3.1 wait=4`` as one SSE comment."""
    place = f" place={standing.position}" if standing.position else ""
    fraction = "" if standing.fraction is None else f" fraction={standing.fraction:.2f}"
    wait = "" if standing.wait_s is None else f" wait={standing.wait_s:.0f}"
    waited = f" elapsed={standing.elapsed_s:.1f}{wait}"
    text = f': hostler profile="{profile}"{place} stage="{standing.stage}"{fraction}{waited}'
    return text.replace("\n", " ").replace("\r", " ").encode() + b"\n\n"


def as_event(answer: bytes, family: Family) -> bytes:
    """An answer that is not a stream, told in a stream that has already begun; an error keeps its body."""
    try:
        data = msgspec.json.encode(msgspec.json.decode(answer))
    except (msgspec.DecodeError, RecursionError):
        return event_of(EngineError("The engine gave an answer that is not JSON."), family)
    if family == "anthropic":
        return b"event: error\ndata: " + data + b"\n\n"
    return b"data: " + data + b"\n\ndata: [DONE]\n\n"
