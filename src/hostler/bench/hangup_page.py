"""Figures of hang-ups, and the section of the page that shows them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from typing import Final

import msgspec

#: The goals, as 95th percentiles: of a stream in decode, of an answer that does not stream, and what a prefill may take
#: beside the batch that it is in.
DECODE_S: Final = 0.250
WHOLE_S: Final = 1.5
BESIDE_A_BATCH_S: Final = 1.2


class Cost(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds that an abandoned request costs the next one; ``idle_s`` is what the next one takes by itself."""

    where: str
    phase: str
    slots: int
    rounds: int
    idle_s: float
    p50: float
    p95: float
    worst: float

    @classmethod
    def of(cls, where: str, phase: str, slots: int, idle_s: float, taken: Sequence[float]) -> Cost:
        """From the seconds of each round; at least one."""
        ordered = sorted(taken)
        return cls(
            where=where,
            phase=phase,
            slots=slots,
            rounds=len(ordered),
            idle_s=idle_s,
            p50=statistics.median(ordered),
            p95=ordered[min(len(ordered) - 1, round(0.95 * len(ordered)))],
            worst=ordered[-1],
        )


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured, where and when. ``batch_s`` is what one batch of a prompt takes."""

    at: float
    machine: str
    python: str
    engine: str
    command: str
    load: float
    batch_s: float
    costs: tuple[Cost, ...]


def goal_of(cost: Cost, batch_s: float) -> float:
    """Seconds that the 95th percentile may have; no engine stops in the middle of a batch."""
    batch_s = batch_s + BESIDE_A_BATCH_S if "prefill" in cost.phase else 0.0
    if cost.phase.startswith("non-stream"):
        return max(WHOLE_S, batch_s)
    return batch_s or DECODE_S


def section(report: Report) -> str:
    """The part of the page that is measured."""
    day = time.strftime("%Y-%m-%d", time.gmtime(report.at))
    lines = [
        f"    {report.command}",
        "",
        f"{report.machine}, Python {report.python}, {report.engine}, {day}; load average {report.load:.1f}. "
        f"One batch of a prompt takes {report.batch_s:.2f} s. Times in milliseconds.",
    ]
    for where, heading in (("gateway", "Through the gateway"), ("engine", "The engine alone")):
        found = [cost for cost in report.costs if cost.where == where]
        if found:
            lines += ["", f"**{heading}**", "", *_table(found, report.batch_s)]
    return "\n".join(lines)


def _table(found: Sequence[Cost], batch_s: float) -> list[str]:
    head = [
        "| phase | other slots | rounds | median | p95 | worst | goal | |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    return head + [_row(cost, goal_of(cost, batch_s)) for cost in found]


def _row(cost: Cost, goal_s: float) -> str:
    others = "none" if cost.slots == 1 else f"{cost.slots - 1} busy"
    met = "met" if cost.p95 <= goal_s else "missed"
    times = " | ".join(f"{seconds * 1e3:,.0f}" for seconds in (cost.p50, cost.p95, cost.worst, goal_s))
    return f"| {cost.phase} | {others} | {cost.rounds} | {times} | {met} |"
