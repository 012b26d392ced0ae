"""Figures of switches, and the section of the page that shows them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from typing import Final

import msgspec

#: Ours may take this much of bare, and this much longer.
RATIO: Final = 1.10
BESIDE_S: Final = 0.050


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds of one way to switch to one model."""

    build: str
    way: str
    model: str
    switches: int
    p50: float
    p95: float
    worst: float

    @classmethod
    def of(cls, build: str, way: str, model: str, taken: Sequence[float]) -> Figure:
        """From the seconds of each switch; at least one."""
        ordered = sorted(taken)
        return cls(
            build=build,
            way=way,
            model=model,
            switches=len(ordered),
            p50=statistics.median(ordered),
            p95=ordered[min(len(ordered) - 1, round(0.95 * len(ordered)))],
            worst=ordered[-1],
        )


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """A whole measurement; ``at`` in seconds since the Unix epoch, ``load`` the machine's average while it ran."""

    at: float
    machine: str
    python: str
    engine: str
    command: str
    load: float
    figures: tuple[Figure, ...]


def section(report: Report) -> str:
    """The section, in Markdown."""
    day = time.strftime("%Y-%m-%d", time.gmtime(report.at))
    rows = "\n".join(_row(figure, report.figures) for figure in report.figures)
    return f"""- Command: `{report.command}`
- Machine: {report.machine}, load average {report.load:.1f}; Python {report.python}; {report.engine}; {day}

| build | to | way | p50 | p95 | worst | p50 less bare | goal | |
| --- | --- | --- | --- | --- | --- | --- | --- | --- |
{rows}"""


def _row(figure: Figure, figures: Sequence[Figure]) -> str:
    beside = {each.way: each for each in figures if (each.build, each.model) == (figure.build, figure.model)}
    bare = beside["bare"].p50
    cells = [figure.build, figure.model, figure.way, _ms(figure.p50), _ms(figure.p95), _ms(figure.worst)]
    cells += ["" if figure.way == "bare" else f"{(figure.p50 - bare) * 1e3:+.0f} ms"]
    if figure.way != "ours":
        return "| " + " | ".join([*cells, "", ""]) + " |"
    goal = bare * RATIO + BESIDE_S
    if "router" in beside:
        goal = min(goal, beside["router"].p50)
    return "| " + " | ".join([*cells, f"<= {_ms(goal)}", "met" if figure.p50 <= goal else "**missed**"]) + " |"


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:.0f} ms"
