"""Figures, and the page and the data that show them."""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from typing import Final

import msgspec

#: What the gateway has to reach: ratio to direct, and its CPU microseconds for each request or chunk.
GOALS: Final = {
    "non-stream, 1 client": (0.35, 300.0),
    "non-stream, 16 clients": (0.12, 130.0),
    "unpaced stream of 500 chunks, 8 clients": (0.45, None),
    "paced stream 200 x 5 ms, 64 clients": (None, 30.0),
}
GOAL_RSS_MIB: Final = 90
GOAL_ACCEPTED_S: Final = 1.5

#: llama-swap (Go), measured the same way on the same kind of machine.
OTHERS: Final = {
    "non-stream, 1 client": "0.23 to 0.29; 460 to 660",
    "non-stream, 16 clients": "0.065 to 0.10; 200 to 313",
    "unpaced stream of 500 chunks, 8 clients": "0.26 to 0.30",
    "paced stream 200 x 5 ms, 64 clients": "37 per chunk",
}


class Spread(msgspec.Struct, frozen=True):
    """Median, least and greatest of the rounds."""

    median: float
    least: float
    greatest: float

    @classmethod
    def of(cls, values: list[float]) -> Spread:
        return cls(statistics.median(values), min(values), max(values))


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """One load. ``per_s`` counts requests, or chunks of a stream; ``cpu_us`` is the gateway's for each of them."""

    name: str
    unit: str
    direct_per_s: Spread
    per_s: Spread
    ratio: Spread
    cpu_us: Spread
    rounds: int
    repeated: int


class Quick(msgspec.Struct, frozen=True, kw_only=True):
    """Requests that came one by one: milliseconds that half of them took at the most, and 95 of 100."""

    name: str
    goal_ms: float
    median_ms: float
    p95_ms: float


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """The whole measurement; ``at`` in seconds since the Unix epoch, memory in MiB."""

    at: float
    machine: str
    python: str
    command: str
    accepted_s: float
    rss_before_mib: float
    rss_after_mib: float
    figures: tuple[Figure, ...]
    singles: tuple[Quick, ...]


def write(report: Report, data: Path | None, page: Path | None) -> None:
    """Print the table; write data and page where a path is given."""
    text = render(report)
    print(text)
    for path, content in ((data, msgspec.json.format(msgspec.json.encode(report)).decode() + "\n"), (page, text)):
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)


def render(report: Report) -> str:
    """The page, in Markdown."""
    day = time.strftime("%Y-%m-%d", time.gmtime(report.at))
    rows = "\n".join(_row(figure) for figure in report.figures)
    singles = "\n".join(
        f"| {one.name} | **{one.median_ms:.1f} ms** | {one.p95_ms:.1f} ms | <= {one.goal_ms:g} ms |"
        for one in report.singles
    )
    return f"""# What the gateway costs

The same fast fake engine is asked directly, through the gateway, and directly again; that is one round. The
gateway is a real `hostler up` with everything on: a key, fleet, leases, ledger, events, management. Every answer is
checked. A round whose two direct figures differ by more than 15% is repeated. Shown are medians, with the
range over all rounds in parentheses; CPU is that of the gateway process (user and system).

- Command: `{report.command}`
- Machine: {report.machine}; Python {report.python}; {day}
- Engine, gateway and load generator share the machine's processors.

| load | direct/s | gateway/s | ratio to direct | goal | CPU per request or chunk | goal | llama-swap |
| --- | --- | --- | --- | --- | --- | --- | --- |
{rows}

| one request at a time, on a new connection each | median | 95 of 100 | goal |
| --- | --- | --- | --- |
{singles}

- Memory of the gateway after the run: **{report.rss_after_mib:.0f} MiB** (before: {report.rss_before_mib:.0f};
  goal: at most {GOAL_RSS_MIB}; llama-swap: 200).
- First request accepted **{report.accepted_s:.2f} s** after `hostler up` (goal: under {GOAL_ACCEPTED_S}).
"""


def _row(figure: Figure) -> str:
    ratio, cpu = GOALS.get(figure.name, (None, None))
    cells = [
        figure.name,
        _spread(figure.direct_per_s, "{:,.0f}"),
        _spread(figure.per_s, "{:,.0f}"),
        f"**{figure.ratio.median:.3f}** ({figure.ratio.least:.3f} to {figure.ratio.greatest:.3f})",
        "" if ratio is None else f">= {ratio}",
        f"{figure.cpu_us.median:.0f} us ({figure.cpu_us.least:.0f} to {figure.cpu_us.greatest:.0f}) per {figure.unit}",
        "" if cpu is None else f"<= {cpu:.0f} us",
        OTHERS.get(figure.name, ""),
    ]
    return "| " + " | ".join(cells) + " |"


def _spread(spread: Spread, form: str) -> str:
    return f"{form.format(spread.median)} ({form.format(spread.least)} to {form.format(spread.greatest)})"
