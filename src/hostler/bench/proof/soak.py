"""2,000 switches: what the gateway's process has grown by, and what it left open or running.

Two pairs of profiles switch side by side, each pair in an exclusive group: two real models, and two fake engines.
"""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import Sequence
from itertools import cycle
from pathlib import Path
from typing import Final

import msgspec
import psutil

from hostler.bench.proof.ground import FAKES, HEAD, STARTERS, found_at, starters, subjects
from hostler.bench.proof.telling import Teller
from hostler.client.gateway import Client
from hostler.conformance.asking import Asking
from hostler.conformance.asks import Ask, Subject
from hostler.conformance.fakes import Fake
from hostler.conformance.fates import Answered
from hostler.conformance.own import OwnGateway, own_gateway
from hostler.conformance.watching import watched
from hostler.conformance.witness import Witness
from hostler.events import RING

#: This share of the switches is warm-up, and all until the gateway's ring of events is full.
WARM_UP: Final = 0.1
POINTS: Final = 40

GROUPS: Final = "[groups.real]\nexclusive = true\n[groups.fake]\nexclusive = true\n"


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """The gateway's process after so many ``switches``: resident MiB, open files, threads, processes below it.

    ``events`` is how many it has published; it keeps the last :data:`hostler.events.RING`.
    """

    switches: int
    rss_mib: float
    files: int
    threads: int
    children: int
    events: int = 0


class Soak(msgspec.Struct, frozen=True, kw_only=True):
    """The whole series; ``grown_mib`` from the end of the warm-up (medians of a tenth of the points), ``files_grown``
    by :func:`floor_grown`."""

    switches: int
    loads: int
    double_loads: int
    failed: tuple[str, ...]
    seconds: float
    grown_mib: float
    files_grown: int
    left: tuple[str, ...]
    ended: int | None
    points: tuple[Point, ...]


def config(folder: Path, models: Path) -> str:
    """Each pair in a group of its own."""
    groups = {name: 'group = "real"\n' for name, _file, _task in STARTERS}
    fakes = [Fake(name=name, mib=40).program(folder) for name in FAKES]
    fakes = [text.replace('task = "chat"\n', 'task = "chat"\ngroup = "fake"\n') for text in fakes]
    return "\n".join([HEAD.format(budget=""), GROUPS, starters(models, groups), *fakes])


async def run(folder: Path, models: Path, switches: int, tell: Teller) -> Soak:
    """In a gateway of its own in ``folder``."""
    home = folder / "soak"
    loop = asyncio.get_running_loop()
    began = loop.time()
    async with own_gateway(home, config(home, models)) as own, Client(own.url, "") as client:
        witness = Witness({})
        series = _Series(own, witness, switches, tell)
        found = await found_at(client, subjects())
        asking = Asking(server=found.server, exact=True, patience_s=120.0)
        async with watched(client, witness, looking=False) as watcher:
            async with asyncio.TaskGroup() as group:
                for pair in (found.subjects[:2], found.subjects[2:]):
                    group.create_task(series.alternate(asking, pair))
            await watcher.caught_up()
        seconds = loop.time() - began
    return series.soak(seconds, own)


class _Series:
    """Counts switches and looks at the process now and then."""

    def __init__(self, own: OwnGateway, witness: Witness, switches: int, tell: Teller) -> None:
        self._witness = witness
        self._process = psutil.Process(own.pid)
        self._switches = switches
        self._begun = 0
        self._done = 0
        self._every = max(1, switches // POINTS)
        self._step = tell.counter("soak", switches)
        self._failed: list[str] = []
        self._points: list[Point] = []

    async def alternate(self, asking: Asking, pair: tuple[Subject, ...]) -> None:
        """Ask one, then the other, until all have been made."""
        for subject in cycle(pair):
            if self._begun >= self._switches:
                return
            self._begun += 1
            ask = Ask(number=self._begun, id=f"soak-{self._begun}", subject=subject, stream=True, tokens=2, words=3)
            entry = await asking.entry(ask)
            if not isinstance(entry.fate, Answered):
                self._failed.append(f"{ask.id}: {entry.fate}")
            self._done += 1
            self._step()
            if self._done % self._every == 0:
                self._look()

    def _look(self) -> None:
        process = self._process
        with process.oneshot():
            point = Point(
                switches=self._done,
                events=self._witness.last,
                rss_mib=process.memory_info().rss / 2**20,
                files=process.num_fds(),
                threads=process.num_threads(),
                children=len(process.children(recursive=True)),
            )
        self._points.append(point)

    def soak(self, seconds: float, own: OwnGateway) -> Soak:
        witness, points = self._witness, self._points
        settled = [each for each in points if each.switches >= WARM_UP * self._switches] or points
        settled = [each for each in settled if each.events >= RING] or settled
        tenth = max(1, len(settled) // 10)
        first, last = settled[:tenth], settled[-tenth:]
        return Soak(
            switches=self._done,
            loads=witness.loads.count,
            double_loads=len(witness.doubles),
            failed=tuple(self._failed),
            seconds=seconds,
            grown_mib=_median(last) - _median(first),
            files_grown=floor_grown(settled),
            left=own.left,
            ended=own.ended,
            points=tuple(self._points),
        )


def floor_grown(settled: Sequence[Point]) -> int:
    """How many more files are open at the least in the second half than in the first.

    Each process below has its share, and there are two to four at any moment: only what is never closed lifts the
    floor.
    """
    half = len(settled) // 2
    early, late = settled[: max(1, half)], settled[half:]
    return min(each.files for each in late) - min(each.files for each in early)


def _median(points: list[Point]) -> float:
    return statistics.median(point.rss_mib for point in points)
