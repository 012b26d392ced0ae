"""Which repairs each API of llama.cpp needs, of which engine."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Final

from msgspec import UNSET

from hostler.engines.protocol import LoadSpec
from hostler.fleet.learning.defects import Defect, Probe
from hostler.fleet.protocol import Served
from hostler.gateway.answering.repairs import blame, dimensions, events, responses, starts, stops
from hostler.gateway.answering.repairs.events import Events
from hostler.gateway.answering.repairs.protocol import Asked, Repairs, StreamRepair
from hostler.gateway.answering.repairs.starts import MessageStart, RoleFirst
from hostler.gateway.asking.checks.embeddings import Embedding
from hostler.gateway.asking.checks.messages import Messages
from hostler.gateway.asking.llamacpp import formats
from hostler.gateway.asking.peek import Peek
from hostler.gateway.routes import Route

_STREAMS: Final[dict[str, tuple[Defect, Callable[[Asked], StreamRepair]]]] = {
    "chat": ("lost_role", RoleFirst),
    "messages": ("lost_message_start", MessageStart),
    "stops": ("misnamed_stop", stops.Stops),
    "responses": ("unnumbered_events", Events),
}
_WHOLES: Final[dict[str, tuple[Defect, Callable[[Asked, bytes], bytes]]]] = {
    "responses": ("bare_responses", responses.whole),
    "dimensions": ("ignored_dimensions", dimensions.whole),
    "stops": ("misnamed_stop", stops.whole),
}
#: Of an answer in another API than its client's: the rest of it is put into the client's by a translation.
BLAME: Final = Repairs(errors=True)
_VECTORS: Final = frozenset(("embeddings", "dimensions", "rerank"))


def repairs_of(served: Served, route: Route, asked: Peek) -> Repairs | None:
    """Those of one request; None where there is nothing to put right: its engine is none of llama.cpp's, or is known to
    be sound in all that the request may meet."""
    if not served.counts or served.speaks is not None:
        return None
    return compiled(_asking(route, asked, served.sound), route.family == "anthropic", served.sound)


def _asking(route: Route, asked: Peek, sound: frozenset[Defect]) -> str:
    """The API, or what of it a request asks for that has repairs of its own."""
    if isinstance(asked, Embedding) and asked.dimensions not in (UNSET, None):
        return "dimensions"
    stops_asked = isinstance(asked, Messages) and asked.stop_sequences
    return "stops" if stops_asked and "misnamed_stop" not in sound else route.api


@lru_cache(maxsize=256)
def compiled(api: str, anthropic: bool, sound: frozenset[Defect]) -> Repairs | None:
    """Those of an API of engines that are ``sound`` in some respects; made once."""
    stream, whole = _STREAMS.get(api), _WHOLES.get(api)
    blamed: Defect = "misplaced_blame_of_vectors" if api in _VECTORS else "misplaced_blame"
    needed = Repairs(
        stream=stream[1] if stream is not None and stream[0] not in sound else None,
        whole=whole[1] if whole is not None and whole[0] not in sound else None,
        errors=blamed not in sound or (anthropic and "foreign_errors" not in sound),
    )
    return needed if needed.stream or needed.whole or needed.errors else None


def probes_of(spec: LoadSpec) -> tuple[Probe, ...]:
    """What shows whether the engine of a load needs them: what costs it nothing first, and one after the other what has
    the same prompt."""
    vectors = spec.task == "embedding" or spec.embeddings
    asks: tuple[Probe, ...] = ()
    if spec.task == "chat":
        asks += (*blame.FOREIGN, *blame.MISPLACED)
    if vectors:
        asks += blame.misplaced_of_vectors(max(spec.context * spec.slots, spec.plan.run.ubatch))
    if spec.task == "chat":
        asks += (events.UNNUMBERED, responses.BARE, starts.ROLE, formats.IGNORED, starts.START, stops.STOP)
    return (*asks, dimensions.IGNORED) if vectors else asks
