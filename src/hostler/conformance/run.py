"""A run against one server: the checks, or one storm and what is left of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Final

import msgspec

from hostler.client.gateway import Client
from hostler.config.quantities import Bytes, Seconds
from hostler.conformance.asking import Asking, Entry
from hostler.conformance.asks import Weather
from hostler.conformance.checks.check import Checked, Tried, checked
from hostler.conformance.checks.openai import OPENAI
from hostler.conformance.checks.ours import OURS
from hostler.conformance.disturbing import Disturbances, disturb
from hostler.conformance.finding import Found
from hostler.conformance.report import StormReport, Violation, fates_of, judged, refusals_of, seen_by, tokens_of
from hostler.conformance.storm import storm
from hostler.conformance.watching import Watcher, watched
from hostler.conformance.witness import Witness
from hostler.errors import HostlerError

LEFT_S: Final = 30.0
#: The default of `[limits] starvation_s`.
STARVATION_S: Final = 30.0
_BUDGET: Final = "memory.budget."


class Ground(msgspec.Struct, frozen=True, kw_only=True):
    """How a storm is carried out: the longest a request may take, what disturbs it, whether token counts are exact."""

    patience_s: float = 300.0
    disturbances: Disturbances | None = None
    exact: bool = False


async def check_all(found: Found, hear: Callable[[Checked], None]) -> tuple[Checked, ...]:
    """Every check, one after the other."""
    tried = Tried(server=found.server, subject=found.subjects[0], client=found.client)
    results = list[Checked]()
    for check in (*OPENAI, *OURS):
        results.append(await checked(check, tried))
        hear(results[-1])
    return tuple(results)


class Sky(msgspec.Struct, frozen=True, kw_only=True):
    """What can be seen of a gateway of ours while a storm lasts."""

    client: Client
    witness: Witness
    watcher: Watcher
    ceilings: Mapping[str, int]


@asynccontextmanager
async def _seen(found: Found) -> AsyncIterator[Sky | None]:
    """None for a server that tells nothing of itself."""
    if found.client is None:
        yield None
        return
    settings = {each.key: str(each.value).strip('"') for each in await found.client.config()}
    ceilings = {
        key.removeprefix(_BUDGET): int(Bytes.parse(int(text) if text.isdigit() else text))
        for key, text in settings.items()
        if key.startswith(_BUDGET)
    }
    bound = settings.get("limits.starvation_s")
    witness = Witness(ceilings, STARVATION_S if bound is None else float(Seconds.parse(bound)))
    async with watched(found.client, witness) as watcher:
        yield Sky(client=found.client, witness=witness, watcher=watcher, ceilings=ceilings)


async def blow(
    found: Found, weather: Weather, ground: Ground, heard: Callable[[Entry], None]
) -> tuple[StormReport, list[Entry]]:
    """One storm and its log."""
    asking = Asking(server=found.server, exact=ground.exact, patience_s=ground.patience_s)
    left: list[Violation] = []
    notes: list[str] = [f"loads, memory and waits were not seen: {found.why}"] if found.client is None else []
    async with _seen(found) as sky:
        began = time.perf_counter()
        async with _trouble(sky, ground.disturbances):
            entries = await storm(weather, asking, heard)
        seconds = time.perf_counter() - began
        if sky is not None:
            left, more = await _end(sky, weather)
            notes += more
    return _report(weather, entries, seconds, sky, left, notes), entries


async def _end(sky: Sky, weather: Weather) -> tuple[list[Violation], list[str]]:
    """What is left of the storm once everybody has gone, and what could not be seen."""
    notes = [] if sky.ceilings else ["no `[memory] budget` is set, so none could be exceeded"]
    try:
        left = await still_there(sky.client, f"conf-{weather.seed:x}-", LEFT_S)
        caught_up = await sky.watcher.caught_up()
    except HostlerError as error:
        return [Violation(kind="left behind", what=f"the gateway is gone: {error.message}")], notes
    if not caught_up or sky.watcher.lost:
        notes.append(f"not all events were seen: {sky.watcher.lost or 'they came too late'}")
    return [Violation(kind="left behind", what="still in flight", request=name) for name in left], notes


async def still_there(client: Client, prefix: str, within_s: float) -> list[str]:
    """Requests of such ids that are in flight after ``within_s``; none as soon as that is so."""
    end = time.monotonic() + within_s
    while names := [each.id for each in (await client.requests(1)).in_flight if each.id.startswith(prefix)]:
        if time.monotonic() > end:
            break
        await asyncio.sleep(0.1)
    return names


@asynccontextmanager
async def _trouble(sky: Sky | None, disturbances: Disturbances | None) -> AsyncIterator[None]:
    """Crashes and reloads while the block lasts."""
    if sky is None or disturbances is None:
        yield
        return
    trouble = asyncio.create_task(disturb(sky.client, sky.witness, disturbances))
    try:
        yield
    finally:
        trouble.cancel()
        await asyncio.gather(trouble, return_exceptions=True)


def _report(
    weather: Weather, entries: list[Entry], seconds: float, sky: Sky | None, left: list[Violation], notes: list[str]
) -> StormReport:
    witness = None if sky is None else sky.witness
    return StormReport(
        seed=weather.seed,
        clients=weather.clients,
        requests=weather.requests,
        profiles=tuple(each.name for each in weather.subjects),
        seconds=seconds,
        fates=fates_of(entries),
        refusals=refusals_of(entries),
        tokens=tokens_of(entries),
        violations=(*judged(entries, weather.requests, witness), *left),
        seen=None if sky is None else seen_by(sky.witness, dict(sky.ceilings)),
        notes=tuple(notes),
    )
