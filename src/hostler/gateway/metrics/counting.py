"""What adds up: requests as they end, and what the bus tells of loads. Nothing here is called while an answer runs.

Label values are bounded: after :data:`TRACKS` pairs of profile and API, further ones are counted as ``other``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Final

import anyio

from hostler.events import AnyEvent, Bus, InstanceChanged, LoadMeasured, Swap
from hostler.gateway.metrics.families import Family, Histogram
from hostler.wire.management import RequestRecord

TRACKS: Final = 100
OTHER: Final = "other"
LOOK_S: Final = 0.2
TOGETHER: Final = 128

REQUESTS: Final = Family("hostler_requests_total", "counter", "Requests that ended, by outcome.")
TOKENS: Final = Family("hostler_tokens_total", "counter", "Tokens of prompts, of them from a cache, and of answers.")
FIRST: Final = Family("hostler_first_token_seconds", "histogram", "From the request to the first token of its answer.")
GAP: Final = Family("hostler_inter_token_seconds", "histogram", "Between two tokens of an answer, its mean.")
WHOLE: Final = Family("hostler_request_seconds", "histogram", "From the request to the end of its answer.")
QUEUE: Final = Family("hostler_queue_seconds", "histogram", "In line for a slot, by request.")
WAIT: Final = Family("hostler_load_wait_seconds", "histogram", "For a load, by request that waited for one.")
LOAD: Final = Family("hostler_load_seconds", "histogram", "Loads, from their start to the first generated tokens.")
SWAP: Final = Family("hostler_swap_seconds", "histogram", "From making room for a profile until it was ready.")
FAILURES: Final = Family("hostler_failures_total", "counter", "Instances that failed, by class of failure.")

COUNTED: Final = (REQUESTS, TOKENS, FIRST, GAP, WHOLE, QUEUE, WAIT, LOAD, SWAP, FAILURES)

_SECONDS: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
_GAPS: Final = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.2, 0.5, 1.0)


class _Track:
    """What is counted of one profile by one API."""

    __slots__ = ("cached", "first", "gap", "generated", "labels", "outcomes", "prompt", "queue", "wait", "whole")

    def __init__(self, profile: str, api: str) -> None:
        self.labels = {"profile": profile, "api": api}
        self.outcomes: dict[str, int] = {}
        self.prompt = self.cached = self.generated = 0
        self.first = Histogram(FIRST, _SECONDS, profile=profile, api=api)
        self.gap = Histogram(GAP, _GAPS, profile=profile, api=api)
        self.whole = Histogram(WHOLE, _SECONDS, profile=profile, api=api)
        self.queue = Histogram(QUEUE, _SECONDS, profile=profile, api=api)
        self.wait = Histogram(WAIT, _SECONDS, profile=profile, api=api)

    def take(self, row: RequestRecord) -> None:
        outcome = _outcome(row)
        self.outcomes[outcome] = self.outcomes.get(outcome, 0) + 1
        self.prompt += row.tokens_in or 0
        self.cached += row.tokens_cached or 0
        self.generated += row.tokens_out or 0
        self.queue.observe(row.queue_ms / 1e3)
        self.whole.observe(row.total_ms / 1e3)
        if row.load_ms > 0:
            self.wait.observe(row.load_ms / 1e3)
        if row.generated_ms is not None and row.status < 400:
            self._take_pace(row, row.generated_ms)

    def _take_pace(self, row: RequestRecord, generated_ms: float) -> None:
        # Not the first byte: some streams begin before the prompt is read, and whole answers end with it.
        self.first.observe(max(0.0, row.total_ms - generated_ms) / 1e3)
        if row.tokens_out is not None and row.tokens_out > 1:
            self.gap.observe(generated_ms / (row.tokens_out - 1) / 1e3)

    def tokens(self) -> tuple[tuple[str, int], ...]:
        return ("prompt", self.prompt), ("cached", self.cached), ("generated", self.generated)


def _outcome(row: RequestRecord) -> str:
    if row.cancelled:
        return "cancelled"
    return "ok" if row.status < 400 else "client_error" if row.status < 500 else "server_error"


class Counting:
    """Counts from the start of the gateway on. All methods are called on the event loop's thread."""

    def __init__(self) -> None:
        self._rows: list[RequestRecord] = []  # not counted yet
        self._tracks: dict[tuple[str, str], _Track] = {}
        self._loads: dict[str, Histogram] = {}
        self._swaps: dict[str, Histogram] = {}
        self._failures: Counter[tuple[str, str]] = Counter()
        self._swapping: dict[str, float] = {}

    def take(self, row: RequestRecord) -> None:
        """A request ended. They are counted many at a time, as that is quicker."""
        self._rows.append(row)
        if len(self._rows) >= TOGETHER:
            self._count()

    def _count(self) -> None:
        rows, self._rows = self._rows, []
        for row in rows:
            track = self._tracks.get((row.profile, row.api)) or self._new_track(row.profile, row.api)
            track.take(row)

    def _new_track(self, profile: str, api: str) -> _Track:
        key = (profile if len(self._tracks) < TRACKS else OTHER), api
        return self._tracks.setdefault(key, _Track(*key))

    async def follow(self, bus: Bus) -> None:
        """Count what ``bus`` tells, kept events first, until cancelled; looks a few times a second at the most."""
        seen = 0
        while True:
            await bus.changed(seen)
            for event in bus.rare_since(seen):
                self.hear(event)
            seen = bus.last_id
            await anyio.sleep(LOOK_S)

    def hear(self, event: AnyEvent) -> None:
        """Something happened."""
        match event:
            case LoadMeasured():
                _of(self._loads, LOAD, event.profile).observe(event.seconds)
            case Swap():
                self._swapping[event.profile] = event.at
            case InstanceChanged(state="ready") if event.profile in self._swapping:
                _of(self._swaps, SWAP, event.profile).observe(max(0.0, event.at - self._swapping.pop(event.profile)))
            case InstanceChanged(state="failed"):
                self._swapping.pop(event.profile, None)
                known = len(self._failures) < TRACKS or (event.profile, event.cause) in self._failures
                self._failures[event.profile if known else OTHER, event.cause] += 1

    def lines(self) -> Iterator[str]:
        """All that was counted."""
        self._count()
        tracks = self._tracks.values()
        yield REQUESTS.head()
        for track in tracks:
            yield from (REQUESTS.sample(n, **track.labels, outcome=o) for o, n in track.outcomes.items())
        yield TOKENS.head()
        for track in tracks:
            yield from (TOKENS.sample(n, **track.labels, kind=kind) for kind, n in track.tokens())
        yield from _told(FIRST, [track.first for track in tracks])
        yield from _told(GAP, [track.gap for track in tracks])
        yield from _told(WHOLE, [track.whole for track in tracks])
        yield from _told(QUEUE, [track.queue for track in tracks])
        yield from _told(WAIT, [track.wait for track in tracks])
        yield from _told(LOAD, list(self._loads.values()))
        yield from _told(SWAP, list(self._swaps.values()))
        yield FAILURES.head()
        yield from (FAILURES.sample(n, profile=p, cause=cause) for (p, cause), n in self._failures.items())


def _of(known: dict[str, Histogram], family: Family, profile: str) -> Histogram:
    name = profile if profile in known or len(known) < TRACKS else OTHER
    return known.setdefault(name, Histogram(family, _SECONDS, profile=name))


def _told(family: Family, histograms: list[Histogram]) -> Iterator[str]:
    yield family.head()
    yield from (histogram.lines() for histogram in histograms)
