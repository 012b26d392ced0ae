"""100 engines killed at random moments, loads among them: what became of every request, and how soon it goes on.

Clients ask all the time. In turns an engine is killed, and then its profile unloaded while nobody uses it; after each
one more request asks for it. Two times are taken: until an engine of the profile has generated a token again, which is
when the gateway calls it ready, and until the request has its own first token, for which it may share the engine
with all that the kill has sent back. What a load takes without a kill is so measured under the same load, from the
moment in which the instance takes no request any more: later others who ask for it have begun its load already. A
recovery is compared with the normal loads that are nearest in time, since a machine is not always as quick.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path
from random import Random
from typing import Final

import msgspec

from hostler.bench.proof.ground import FAKES, HEAD, STARTERS, found_at, starters, subjects
from hostler.bench.proof.telling import Teller
from hostler.client.gateway import Client
from hostler.conformance.asking import Asking, Entry
from hostler.conformance.asks import Ask, Subject, Weather, drawn
from hostler.conformance.disturbing import kill
from hostler.conformance.fakes import Fake
from hostler.conformance.fates import Answered
from hostler.conformance.finding import Found
from hostler.conformance.own import own_gateway
from hostler.conformance.report import Violation, fates_of, judged, percentile, refusals_of
from hostler.conformance.watching import Watcher, watched
from hostler.conformance.witness import Witness
from hostler.wire.management import Instance

CLIENTS: Final = 3
#: Of each profile: enough for all clients and the one that is timed, so that nobody waits for a slot.
SLOTS: Final = CLIENTS + 1
TOKENS: Final = 20
WORDS: Final = 8
PAUSE_S: Final = 0.4
#: So many normal loads of its profile are what a recovery is compared with.
NEAR: Final = 5
PATIENCE_S: Final = 60.0
LOOK_S: Final = 0.005


class Recovered(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds from a kill, or from an unload, until an engine of the profile was ``ready``, and to the first token of
    the next request to it (``asked``); ``at`` seconds since the first."""

    profile: str
    state: str
    ready: float
    asked: float
    answered: bool
    at: float = 0.0


class Compared(msgspec.Struct, frozen=True, kw_only=True):
    """Recoveries against the median of the normal loads near them, and each normal load (``normal_p95``) against the
    others near it. ``medians`` of normal loads by profile, seconds."""

    p50: float
    p95: float
    normal_p95: float
    medians: dict[str, float]


class Kills(msgspec.Struct, frozen=True, kw_only=True):
    """All kills: to an engine that works again, and to the first token of the next request."""

    kills: int
    requests: int
    fates: dict[str, int]
    refusals: dict[str, int]
    violations: tuple[Violation, ...]
    ready: Compared
    asked: Compared
    unanswered: int
    seconds: float
    left: tuple[str, ...]
    recoveries: tuple[Recovered, ...]


def config(folder: Path, models: Path) -> str:
    """One real model and two fakes, with room for all."""
    real = starters(models, slots=SLOTS).partition(f"[profiles.{STARTERS[1][0]}]")[0]
    fakes = [Fake(name=name, rate=60, slots=SLOTS) for name in FAKES]
    return "\n".join([HEAD.format(budget=""), real, fakes[0].engine(folder), fakes[1].program(folder)])


async def run(folder: Path, models: Path, kills: int, seed: int, tell: Teller) -> Kills:
    """In a gateway of its own in ``folder``."""
    home = folder / "kills"
    began = time.perf_counter()
    async with own_gateway(home, config(home, models)) as own, Client(own.url, "") as client:
        found = await found_at(client, (subjects()[0], *subjects()[2:]))
        witness = Witness({})
        async with watched(client, witness, looking=False) as watcher:
            series = _Series(client, found, witness, watcher, seed)
            await series.run(own.pid, kills, tell.counter("kills", kills))
            await watcher.caught_up()
    return series.kills(time.perf_counter() - began, own.left)


class _Series:
    """Kills and unloads, while others ask."""

    def __init__(self, client: Client, found: Found, witness: Witness, watcher: Watcher, seed: int) -> None:
        self._client = client
        self._witness = witness
        self._watcher = watcher
        self._asking = Asking(server=found.server, exact=True, patience_s=PATIENCE_S)
        self._random = Random(f"{seed}:kills")
        self._weather = Weather(
            subjects=found.subjects,
            seed=seed,
            clients=CLIENTS,
            requests=2**31,
            cancels=0.0,
            tokens=TOKENS,
            words=WORDS,
        )
        self._numbers = count()
        self._entries: list[Entry] = []
        self._normal: list[Recovered] = []
        self._killed: list[Recovered] = []
        self._over = False
        self._began = time.perf_counter()

    async def run(self, gateway: int, kills: int, step: Callable[[], None]) -> None:
        async with asyncio.TaskGroup() as group:
            clients = [group.create_task(self._keep_asking()) for _ in range(CLIENTS)]
            while len(self._killed) < kills:
                await asyncio.sleep(self._random.uniform(0.0, PAUSE_S))
                if await self._kill_one(gateway):
                    step()
                    await self._unload_one(self._killed[-1].profile)
            self._over = True
            await asyncio.gather(*clients)

    async def _keep_asking(self) -> None:
        while not self._over:
            self._entries.append(await self._asking.entry(drawn(self._weather, next(self._numbers))))

    async def _kill_one(self, gateway: int) -> bool:
        running = [each for each in await self._client.instances() if each.pid is not None]
        if not running:
            return False
        victim = self._random.choice(running)
        began = time.perf_counter()
        if not kill(gateway, victim, self._witness):
            return False
        self._killed.append(await self._next_token(victim.profile, victim.state, began))
        return True

    async def _unload_one(self, profile: str) -> None:
        instance = await self._idle(profile)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._client.unload(profile))
            while instance in {each.id for each in await self._ready(profile)}:
                continue
            self._normal.append(await self._next_token(profile, "unloaded", time.perf_counter()))

    async def _idle(self, profile: str) -> str:
        """The instance of it, as soon as nobody uses it. Raises TimeoutError."""
        async with asyncio.timeout(PATIENCE_S):
            while not (idle := [each.id for each in await self._ready(profile) if not each.leases]):  # noqa: ASYNC110
                await asyncio.sleep(LOOK_S)
        return idle[0]

    async def _ready(self, profile: str) -> list[Instance]:
        return [i for i in await self._client.instances() if i.profile == profile and i.state == "ready"]

    async def _next_token(self, profile: str, state: str, began: float) -> Recovered:
        subject = next(each for each in self._weather.subjects if each.name == profile)
        entry = await self._asking.entry(_one_token(next(self._numbers), subject, self._weather.seed))
        asked = time.perf_counter() - began
        self._entries.append(entry)
        await self._watcher.caught_up()
        since_ready = time.time() - self._witness.ready_at.get(profile, 0.0)
        return Recovered(
            profile=profile,
            state=state,
            ready=time.perf_counter() - began - since_ready,
            asked=asked,
            answered=isinstance(entry.fate, Answered),
            at=began - self._began,
        )

    def kills(self, seconds: float, left: tuple[str, ...]) -> Kills:
        return Kills(
            kills=len(self._killed),
            requests=len(self._entries),
            fates=fates_of(self._entries),
            refusals=refusals_of(self._entries),
            violations=tuple(judged(self._entries, 0, self._witness)),
            ready=compared(self._killed, self._normal, lambda each: each.ready),
            asked=compared(self._killed, self._normal, lambda each: each.asked),
            unanswered=sum(not each.answered for each in self._killed),
            seconds=seconds,
            left=left,
            recoveries=tuple(self._killed),
        )


def compared(killed: Sequence[Recovered], normal: Sequence[Recovered], taken: Callable[[Recovered], float]) -> Compared:
    """Recoveries and normal loads by one of their times."""
    ratios, alone = ratios_of(killed, normal, taken), ratios_of(normal, normal, taken)
    by_profile: dict[str, list[float]] = {}
    for each in normal:
        by_profile.setdefault(each.profile, []).append(taken(each))
    return Compared(
        p50=percentile(ratios, 0.5),
        p95=percentile(ratios, 0.95),
        normal_p95=percentile(alone, 0.95),
        medians={name: statistics.median(times) for name, times in by_profile.items()},
    )


def ratios_of(
    killed: Sequence[Recovered], normal: Sequence[Recovered], taken: Callable[[Recovered], float]
) -> list[float]:
    """Each against the median of the :data:`NEAR` normal loads of its profile that are nearest in time, but for itself.

    None for one whose profile was never loaded otherwise.
    """
    found = []
    for one in killed:
        others = [each for each in normal if each.profile == one.profile and each is not one]
        near = sorted(others, key=lambda each: abs(each.at - one.at))[:NEAR]
        found += [taken(one) / statistics.median(taken(each) for each in near)] if near else []
    return found


def _one_token(number: int, subject: Subject, seed: int) -> Ask:
    return Ask(number=number, id=f"conf-{seed:x}-{number}", subject=subject, stream=False, tokens=1, words=2)
