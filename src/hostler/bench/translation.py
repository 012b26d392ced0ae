"""What translating Ollama's API costs: microseconds for each chunk of a stream, and for each request.

    python -m hostler.bench.translation [--data FILE] [--page FILE]

It measures the translation alone, in this process: bytes in, bytes out, one event at a time as an engine sends them,
because that is the dearest. In a second, so that it can be run anywhere.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final

import msgspec

from hostler.bench.sections import replaced
from hostler.gateway.translate.ollama.answers import Course, Voice
from hostler.gateway.translate.ollama.asked import Kind, asked, read, wishes_of
from hostler.gateway.translate.ollama.stream import OllamaStream

#: Microseconds that a chunk may cost.
GOAL_US: Final = 60.0
ROUNDS: Final = 15
BATCH: Final = 400

_TOOL: Final = {
    "type": "function",
    "function": {"name": "f", "description": "d" * 2000, "parameters": {"type": "object", "properties": {}}},
}


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """Microseconds for one of ``what``: the median round, the quickest and the slowest."""

    what: str
    per: str
    median_us: float
    least_us: float
    most_us: float


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured, where and when."""

    at: float
    machine: str
    python: str
    figures: tuple[Figure, ...]


def _event(delta: dict[str, object]) -> bytes:
    """One event as llama.cpp's server writes it."""
    chunk = {
        "choices": [{"finish_reason": None, "index": 0, "delta": delta}],
        "created": 1_763_750_000,
        "id": "chatcmpl-" + 32 * "a",
        "model": "smollm2",
        "system_fingerprint": "b1-abcdef",
        "object": "chat.completion.chunk",
    }
    return b"data: " + json.dumps(chunk).encode() + b"\n\n"


CHUNKS: Final[tuple[tuple[str, Kind, dict[str, object]], ...]] = (
    ("a word of a chat", "chat", {"content": " token"}),
    ("a thought of a chat", "chat", {"reasoning_content": " token"}),
    ("a piece of a tool's arguments", "chat", {"tool_calls": [{"index": 0, "function": {"arguments": ' {"a"'}}]}),
    ("a word of a response, remembered", "generate", {"content": " token"}),
    ("4 KiB of text at once", "chat", {"content": "sea " * 1024}),
)


def _requests() -> tuple[tuple[str, bytes], ...]:
    short = {"model": "smollm2", "messages": [{"role": "user", "content": "The sea?"}], "options": {"num_predict": 8}}
    turns = [{"role": role, "content": "sea " * 400} for _ in range(20) for role in ("user", "assistant")]
    long = {"model": "smollm2", "messages": turns, "tools": [_TOOL] * 20}
    return (("a short request", json.dumps(short).encode()), ("a request of 100 KiB", json.dumps(long).encode()))


def measured(what: str, per: str, act: Callable[[], object], batch: int = BATCH) -> Figure:
    """``act`` in :data:`ROUNDS` rounds of ``batch``, after one that does not count."""
    rounds = []
    for _ in range(ROUNDS + 1):
        began = time.perf_counter()
        for _ in range(batch):
            act()
        rounds.append(1e6 * (time.perf_counter() - began) / batch)
    kept = rounds[1:]
    return Figure(what=what, per=per, median_us=statistics.median(kept), least_us=min(kept), most_us=max(kept))


def chunks() -> list[Figure]:
    """Each kind of chunk, alone."""
    figures = []
    for what, kind, delta in CHUNKS:
        turns = [("user", "The sea?")] if kind == "generate" else None
        stream = OllamaStream(Voice(kind, turns), Course("smollm2", time.time, time.time(), 0.0))
        event = _event(delta)
        figures.append(measured(what, "chunk", partial(stream.feed, event)))
    return figures


def requests() -> list[Figure]:
    """Each request, read and written."""

    def translate(body: bytes) -> bytes:
        said = read("chat", body)
        wishes_of(said)
        return asked(said, chats=True).body

    return [measured(what, "request", partial(translate, body), batch=40) for what, body in _requests()]


def section(report: Report) -> str:
    """The part of the page that is measured."""
    day = time.strftime("%Y-%m-%d", time.gmtime(report.at))
    rows = [
        f"| {one.what} | **{one.median_us:.1f}** ({one.least_us:.1f} to {one.most_us:.1f}) | {_goal(one)} |"
        for one in report.figures
    ]
    return "\n".join(
        [
            "    python -m hostler.bench.translation",
            "",
            f"{report.machine}, Python {report.python}, {day}. Medians of {ROUNDS} rounds (least to most).",
            "",
            "| what | microseconds | goal |",
            "| --- | --- | --- |",
            *rows,
        ]
    )


def _goal(one: Figure) -> str:
    if one.per != "chunk":
        return ""
    return f"<= {GOAL_US:g}, {'met' if one.median_us <= GOAL_US else 'missed'}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print as JSON; 1 when a chunk costs more than the goal."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, help="write the figures there too")
    parser.add_argument("--page", type=Path, help="renew the section `translation` of this page")
    options = parser.parse_args(arguments)
    report = Report(
        at=time.time(),
        machine=f"{platform.machine()}, {platform.system()}",
        python=platform.python_version(),
        figures=(*chunks(), *requests()),
    )
    text = msgspec.json.format(msgspec.json.encode(report), indent=2)
    print(text.decode())
    if options.data is not None:
        options.data.write_bytes(text + b"\n")
    if options.page is not None:
        options.page.write_text(replaced(options.page.read_text("utf-8"), "translation", section(report)), "utf-8")
    missed = any(one.median_us > GOAL_US for one in report.figures if one.per == "chunk")
    return 1 if missed else 0


if __name__ == "__main__":
    raise SystemExit(main())
