"""What `hostler conformance` does: finds or starts the gateway, tries it, tells what was found."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from hostler.cli.command import ExitCode, Session
from hostler.conformance.asks import Weather
from hostler.errors import InvalidRequest

if TYPE_CHECKING:
    from hostler.conformance.asking import Entry
    from hostler.conformance.checks.check import Checked
    from hostler.conformance.finding import Found
    from hostler.conformance.run import Ground
    from hostler.conformance.verdict import Verdict

# Mean seconds between crashes, and between reloads, of a gateway that may be disturbed.
CRASH_S = 2.5
RELOAD_S = 2.0


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What the options ask for; the subjects of ``weather`` are found later."""

    profiles: tuple[str, ...]
    weather: Weather
    checks: bool
    storm: bool
    start: bool
    disruptive: bool
    patience_s: float
    log: Path | None


async def tried(session: Session, wanted: Wanted) -> int:
    """Try the gateway and tell; 1 when a promise was broken."""
    from hostler.cli.conformance_view import show

    verdict = await (_on_its_own(session, wanted) if wanted.start else _on_a_running_one(session, wanted))
    show(session, verdict)
    return ExitCode.OK if verdict.ok else ExitCode.ERROR


async def _on_a_running_one(session: Session, wanted: Wanted) -> Verdict:
    from hostler.conformance.disturbing import Disturbances
    from hostler.conformance.finding import find
    from hostler.conformance.run import Ground

    async with session.connect() as client:
        found = await find(client, os.environ.get("HOSTLER_KEY", ""), wanted.profiles)
        trouble = None
        if wanted.disruptive:
            await _is_here(found)
            trouble = Disturbances(seed=wanted.weather.seed, crash_s=CRASH_S, reload_s=RELOAD_S)
        ground = Ground(patience_s=wanted.patience_s, disturbances=trouble, exact=found.client is not None)
        return await _verdict(session, wanted, found, ground)


async def _on_its_own(session: Session, wanted: Wanted) -> Verdict:
    from hostler.client.gateway import Client
    from hostler.conformance.disturbing import Disturbances
    from hostler.conformance.fakes import config, edited, subjects
    from hostler.conformance.finding import find
    from hostler.conformance.own import own_gateway
    from hostler.conformance.run import Ground
    from hostler.conformance.verdict import ended

    with tempfile.TemporaryDirectory(prefix="hostler-conformance-") as name:
        folder = Path(name)
        async with own_gateway(folder, config(folder)) as own, Client(own.url, "") as client:
            found = await find(client, "", tuple(each.name for each in subjects()))
            trouble = Disturbances(
                seed=wanted.weather.seed, crash_s=CRASH_S, reload_s=RELOAD_S, edit=lambda: edited(folder)
            )
            ground = Ground(patience_s=wanted.patience_s, disturbances=trouble, exact=True)
            verdict = await _verdict(session, wanted, found, ground)
        return ended(verdict, own)


async def _is_here(found: Found) -> None:
    """Raises InvalidRequest where engines cannot be killed."""
    import psutil

    pid = None if found.client is None else (await found.client.status()).pid
    if pid is None or not psutil.pid_exists(pid) or found.server.host not in ("127.0.0.1", "localhost", "::1"):
        raise InvalidRequest("--disruptive needs a gateway of ours on this machine.", hint="Run it there.")


async def _verdict(session: Session, wanted: Wanted, found: Found, ground: Ground) -> Verdict:
    from hostler.cli.conformance_view import watching
    from hostler.conformance.run import blow, check_all
    from hostler.conformance.verdict import verdict

    weather = msgspec.structs.replace(wanted.weather, subjects=found.subjects, operator=found.client is not None)
    checks: tuple[Checked, ...] = ()
    storm = None
    with watching(session, found, weather) as hearing:
        if wanted.checks:
            checks = await check_all(found, hearing.check)
        if wanted.storm:
            storm, entries = await blow(found, weather, ground, hearing.request)
            _write(wanted.log, entries)
    return verdict(found.url, found.version, checks, storm)


def _write(log: Path | None, entries: Sequence[Entry]) -> None:
    if log is not None:
        log.write_bytes(b"".join(msgspec.json.encode(entry) + b"\n" for entry in entries))
