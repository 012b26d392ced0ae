"""How soon a gateway answers requests that come one by one: those that it refuses, and the page of its metrics."""

from __future__ import annotations

import asyncio
import time
from typing import Final

import msgspec

from hostler.bench.load import Target, WrongAnswer
from hostler.bench.report import Quick
from hostler.bench.subjects import FILLERS, MODEL

REQUESTS: Final = 100
#: What the gateway counts apart at the most: pairs of profile and API.
PAIRS: Final = 100

#: A body for any API that has one; profiles that rerank refuse it by all APIs but theirs, and each is counted apart.
_FILLING: Final = {"messages": [{"role": "user", "content": "x"}], "prompt": "x", "input": "x", "max_tokens": 1}
_APIS: Final = (
    "chat/completions", "completions", "embeddings", "responses", "messages", "messages/count_tokens", "audio/speech",
    "images/generations",
)  # fmt: skip


class Single(msgspec.Struct, frozen=True, kw_only=True):
    """A request, and the status that its answer must have.

    ``path`` is asked by POST with ``body``, or by GET. ``whole``: its time is that to the last byte, not to the first.
    """

    name: str
    goal_ms: float
    status: int
    path: str = "/v1/chat/completions"
    body: bytes | None = None
    keyless: bool = False
    whole: bool = False

    def request(self, target: Target) -> bytes:
        method = "GET" if self.body is None else "POST"
        body = self.body or b""
        key = "" if self.keyless else f"Authorization: Bearer {target.key}\r\n"
        head = (
            f"{method} {self.path} HTTP/1.1\r\nHost: {target.host}:{target.port}\r\n{key}Connection: close\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body


def _asking(model: str) -> bytes:
    return msgspec.json.encode({"model": model, **_FILLING})


SINGLES: Final = (
    Single(name="no such model: first byte", goal_ms=5, status=404, body=_asking("nothing-of-that-name")),
    Single(name="a body that breaks off: first byte", goal_ms=5, status=400, body=_asking(MODEL)[:-9]),
    Single(name="no key: first byte", goal_ms=5, status=401, body=_asking(MODEL), keyless=True),
    Single(name="`/metrics` at its bound of labels: whole", goal_ms=10, status=200, path="/metrics", whole=True),
)


async def quick(target: Target, single: Single) -> Quick:
    """Ask :data:`REQUESTS` times, on a new connection each; raises WrongAnswer."""
    took = sorted([await _asked(target, single) for _ in range(REQUESTS)])
    return Quick(
        name=single.name,
        goal_ms=single.goal_ms,
        median_ms=took[len(took) // 2] * 1e3,
        p95_ms=took[len(took) * 95 // 100] * 1e3,
    )


async def fill(target: Target) -> None:
    """Ask for every filler by every API, so that as much is counted apart as ever is. Raises WrongAnswer."""
    for model in FILLERS:
        for api in _APIS:
            single = Single(name=api, goal_ms=0, status=400, path=f"/v1/{api}", body=_asking(model))
            await _asked(target, single)
    page, _, _ = await _answer(target, SINGLES[-1])
    if page.count(b"\nhostler_requests_total{") < PAIRS:
        raise WrongAnswer(f"counted apart were only {page.count(b'hostler_requests_total{')}")


async def _asked(target: Target, single: Single) -> float:
    answer, first_s, whole_s = await _answer(target, single)
    if not answer.startswith(b"HTTP/1.1 %d " % single.status):
        raise WrongAnswer(f"{single.name}: {answer[:300].decode('latin-1')}")
    return whole_s if single.whole else first_s


async def _answer(target: Target, single: Single) -> tuple[bytes, float, float]:
    """The answer, and the seconds until its first byte and its last."""
    reader, writer = await asyncio.open_connection(target.host, target.port)
    try:
        began = time.perf_counter()
        writer.write(single.request(target))
        first = await reader.read(1)
        first_s = time.perf_counter() - began
        rest = await reader.read()
        whole_s = time.perf_counter() - began
    finally:
        writer.close()
    return first + rest, first_s, whole_s
