"""The data of the proof, and the section of the page that shows it."""

from __future__ import annotations

import time
from typing import Final

import msgspec

from hostler.bench.proof.kills import Compared, Kills
from hostler.bench.proof.soak import Point, Soak
from hostler.bench.proof.stop import Stopped
from hostler.conformance.report import StormReport

GROWTH_MIB: Final = 5.0
RATIO: Final = 1.5
SHOWN_POINTS: Final = 8
#: Violations that a client sees; the others have rows of their own.
LOST: Final = ("lost", "refused", "cut", "left behind")


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """When and where a part was measured; ``at`` in seconds since the Unix epoch."""

    at: float
    machine: str
    python: str
    command: str
    load: float


class Proof(msgspec.Struct, frozen=True, kw_only=True):
    """The parts that were measured, each with its own run: they can be renewed alone."""

    storm: StormReport | None = None
    soak: Soak | None = None
    kills: Kills | None = None
    stop: Stopped | None = None
    runs: dict[str, Run] = {}


def section(proof: Proof) -> str:
    """The section, in Markdown."""
    parts = [_storm(proof.storm), _soak(proof.soak), _kills(proof.kills), _stop(proof.stop)]
    rows = [row for part in parts for row in part]
    lines = ["| promise | measured | goal | |", "| --- | --- | --- | --- |", *(_line(*row) for row in rows)]
    return "\n".join([*lines, "", *_curve(proof.soak), *(_run(name, run) for name, run in proof.runs.items())])


Row = tuple[str, str, str, bool | None]
_SAID: Final = {True: "met", False: "**missed**", None: ""}


def _line(what: str, measured: str, goal: str, met: bool | None) -> str:
    return f"| {what} | {measured} | {goal} | {_SAID[met]} |"


def _storm(storm: StormReport | None) -> list[Row]:
    if storm is None or storm.seen is None:
        return []
    seen, lost = storm.seen, len([each for each in storm.violations if each.kind in LOST])
    told = ", ".join(f"{count} {fate}" for fate, count in storm.fates.items() if count)
    held = seen.peak.get("host", 0) / 2**20
    ceiling = seen.ceilings.get("host", 0) / 2**20
    title = f"{storm.requests:,} requests, {storm.clients} clients, {len(storm.profiles)} profiles, room for two"
    waits = seen.waits
    return [
        (f"{title}: lost", f"**{lost}** ({told})", "0", lost == 0),
        ("... loads made twice", f"**{seen.double_loads}** of {seen.loads}", "0", seen.double_loads == 0),
        (
            "... moments over the budget",
            f"**{seen.over_budget}** of {seen.looks} looks; most {held:.0f} of {ceiling:.0f} MiB",
            "0",
            seen.over_budget == 0,
        ),
        (
            "... longest wait for an instance",
            f"**{waits.longest_s:.1f} s** (median {waits.p50_s:.2f}, p95 {waits.p95_s:.1f}, of {waits.count})",
            f"<= {waits.bound_s:.0f} s",
            waits.longest_s <= waits.bound_s,
        ),
    ]


def _soak(soak: Soak | None) -> list[Row]:
    if soak is None:
        return []
    whole = not soak.failed and soak.double_loads == 0
    small = soak.grown_mib < GROWTH_MIB
    return [
        (f"{soak.switches:,} switches: failed", f"**{len(soak.failed)}** ({soak.loads:,} loads)", "0", whole),
        ("... growth of the gateway", f"**{soak.grown_mib:+.1f} MiB**", f"< {GROWTH_MIB:g} MiB", small),
        ("... more open files", f"**{soak.files_grown}**", "0", soak.files_grown <= 0),
        ("... processes left at the end", f"**{len(soak.left)}**", "0", not soak.left and soak.ended == 0),
    ]


def _kills(kills: Kills | None) -> list[Row]:
    if kills is None:
        return []
    told = ", ".join(f"{count} {fate}" for fate, count in kills.fates.items() if count)
    bad = len(kills.violations)
    return [
        (
            f"{kills.kills} engines killed: requests not on a killed stream that were not answered",
            f"**{bad}** of {kills.requests:,} ({told})",
            "0",
            bad == 0,
        ),
        (
            "... recovery against a normal load, until an engine has generated a token again, p95",
            _compared(kills.ready),
            f"<= {RATIO:g}x",
            kills.ready.p95 <= RATIO and kills.unanswered == 0,
        ),
        (
            "... the same until the next request has its first token, beside those that the kill sent back, p95",
            _compared(kills.asked),
            "",
            None,
        ),
    ]


def _compared(found: Compared) -> str:
    medians = ", ".join(f"{name} {seconds:.2f} s" for name, seconds in found.medians.items())
    return (
        f"**{found.p95:.2f}x** (median {found.p50:.2f}x; loads without a kill, p95: {found.normal_p95:.2f}x of those "
        f"near them; medians {medians})"
    )


def _stop(stop: Stopped | None) -> list[Row]:
    if stop is None:
        return []
    clean = not stop.left and set(stop.ended) == {0}
    return [
        (
            f"SIGTERM under load, {stop.rounds} times: running streams that finished",
            f"**{stop.finished}** of {stop.running}",
            "all",
            stop.finished == stop.running and clean,
        ),
        (
            "... waiting and new requests with 503 and `Retry-After`",
            f"**{stop.refused}** of {stop.waiting}",
            "all",
            stop.refused == stop.waiting,
        ),
    ]


def _curve(soak: Soak | None) -> list[str]:
    if soak is None or not soak.points:
        return []
    step = max(1, len(soak.points) // SHOWN_POINTS)
    points: list[Point] = [*soak.points[::step]]
    points += [] if points[-1] == soak.points[-1] else [soak.points[-1]]
    return [
        "The gateway's process in the course of the switches:",
        "",
        "| switches | " + " | ".join(f"{point.switches:,}" for point in points) + " |",
        "| --- |" + " --- |" * len(points),
        "| resident MiB | " + " | ".join(f"{point.rss_mib:.1f}" for point in points) + " |",
        "| open files | " + " | ".join(f"{point.files}" for point in points) + " |",
        "",
    ]


def _run(name: str, run: Run) -> str:
    day = time.strftime("%Y-%m-%d", time.gmtime(run.at))
    return f"- {name}: `{run.command}`; {run.machine}, load average {run.load:.1f}; Python {run.python}; {day}"
