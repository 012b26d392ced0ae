"""What people see of `hostler conformance`: how far it is, and in the end two tables and what was broken."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from hostler.cli import output

if TYPE_CHECKING:
    from rich.status import Status
    from rich.text import Text

    from hostler.cli.command import Session
    from hostler.conformance.asking import Entry
    from hostler.conformance.asks import Weather
    from hostler.conformance.checks.check import Checked
    from hostler.conformance.finding import Found
    from hostler.conformance.report import Seen, StormReport
    from hostler.conformance.verdict import Verdict

#: Of each kind so many violations are shown; `--json` has all.
SHOWN = 10
MARKS = {"ok": "ok", "failed": "problem", "skipped": "warn"}


class Progress:
    """Tells how far it is on standard error: one line that changes on a terminal, else a line for every tenth."""

    def __init__(self, weather: Weather, status: Status | None, quiet: bool) -> None:
        self._weather = weather
        self._status = status
        self._quiet = quiet
        self._done = 0

    def check(self, done: Checked) -> None:
        """A check is over."""
        if self._status is not None:
            self._status.update(f"checks: {done.name} {done.outcome}")

    def request(self, _done: Entry) -> None:
        """A request has its fate."""
        self._done += 1
        total = self._weather.requests
        if self._status is not None:
            self._status.update(f"storm: {self._done} of {total} requests")
        elif not self._quiet and self._done * 10 // total > (self._done - 1) * 10 // total:
            print(f"storm: {self._done} of {total} requests", file=sys.stderr, flush=True)


@contextmanager
def watching(session: Session, found: Found, weather: Weather) -> Iterator[Progress]:
    """What hears of each step while the block lasts. The seed is told first, whatever becomes of the run."""
    names = ", ".join(each.name for each in found.subjects)
    if not session.json:
        print(f"{found.url}: {names}; seed {weather.seed}", file=sys.stderr, flush=True)
    if session.json or not sys.stderr.isatty():
        yield Progress(weather, None, session.json)
        return
    with output.console(session, stderr=True).status("checks", spinner="line") as status:
        yield Progress(weather, status, False)


def show(session: Session, verdict: Verdict) -> None:
    """Print everything that was found."""
    if session.json:
        output.write_json(verdict)
        return
    screen = output.console(session)
    if verdict.checks:
        checks = output.table("CHECK", "", "WHAT SHOULD BE SO", "SEEN", fold="SEEN")
        for check in verdict.checks:
            checks.add_row(check.name, _mark(check), check.what, check.told)
        screen.print(checks)
        screen.print()
    if verdict.storm is not None:
        _show_storm(session, verdict.storm)
    _show_broken(session, verdict)


def _mark(check: Checked) -> Text:
    from rich.text import Text

    return Text(check.outcome, style=output.STATE_STYLE[MARKS[check.outcome]])


def _show_storm(session: Session, storm: StormReport) -> None:
    screen = output.console(session)
    rows = output.table("STORM", "", right=("",))
    rows.add_row("requests", f"{storm.requests}")
    for fate, count in storm.fates.items():
        rows.add_row(f"  {fate}", f"{count}")
        if fate == "refused":
            for code, refused in storm.refusals.items():
                rows.add_row(f"    {code}", f"{refused}")
    rows.add_row("seconds", f"{storm.seconds:.1f}")
    rows.add_row("tokens answered", f"{storm.tokens}")
    if storm.seen is not None:
        for name, told in _seen(storm.seen):
            rows.add_row(name, told)
    screen.print(rows)
    for note in storm.notes:
        screen.print(f"Note: {note}.")
    screen.print(f"\nThe same requests again: --seed {storm.seed}")


def _seen(seen: Seen) -> Iterator[tuple[str, str]]:
    yield "loads", f"{seen.loads}"
    yield "  made twice", f"{seen.double_loads}"
    yield "  longest", output.seconds(seen.longest_load_s)
    yield "swaps", f"{seen.swaps}"
    yield "engines killed", f"{seen.kills}"
    yield "reloads", f"{seen.reloads}"
    yield "looks at memory", f"{seen.looks}"
    yield "  over budget", f"{seen.over_budget}"
    for device, size in seen.peak.items():
        ceiling = seen.ceilings.get(device)
        yield f"  most on {device}", output.size(size) + (f" of {output.size(ceiling)}" if ceiling else "")
    yield "waits", f"{seen.waits.count}"
    yield "  median, p95", f"{output.seconds(seen.waits.p50_s)}, {output.seconds(seen.waits.p95_s)}"
    yield "  longest", f"{output.seconds(seen.waits.longest_s)} (bound {output.seconds(seen.waits.bound_s)})"


def _show_broken(session: Session, verdict: Verdict) -> None:
    screen = output.console(session)
    broken = [*(verdict.storm.violations if verdict.storm else ()), *verdict.ended]
    failed = [check.name for check in verdict.checks if check.outcome == "failed"]
    if verdict.ok:
        screen.print("Every promise was kept.", style="green")
        return
    if failed:
        screen.print(f"Failed: {output.listed(failed)}.", style="bold red")
    for kind in dict.fromkeys(each.kind for each in broken):
        of_kind = [each for each in broken if each.kind == kind]
        screen.print(f"{kind}: {len(of_kind)}", style="bold red")
        for each in of_kind[:SHOWN]:
            screen.print(f"  {each.request or '-'}  {each.what}")
        if len(of_kind) > SHOWN:
            screen.print(f"  and {len(of_kind) - SHOWN} more; --json has all")
