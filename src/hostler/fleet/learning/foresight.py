"""Follows loads: says how quick each was, and has the kernel read the next likely model ahead."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Final

import anyio
import anyio.to_thread
import msgspec

from hostler.engines.prefetch import SHARE, read_ahead
from hostler.events import Bus, InstanceChanged, LoadForeseen, LoadMeasured, LoadProgress
from hostler.fleet.learning.switches import Switches

LOOK_S: Final = 0.1


class Around(msgspec.Struct, frozen=True):
    """What foresight asks of the rest.

    ``files`` of a profile's model, none of one that is unknown: called in a thread. ``resident``: profiles that are
    loaded. ``free``: bytes of main memory beyond what is kept free.
    """

    files: Callable[[str], Sequence[Path]]
    resident: Callable[[], Collection[str]]
    free: Callable[[], int]


class Course:
    """One load as its events tell it; ``at`` of the events counts. A remote has no ``process``, and loads nothing."""

    def __init__(self, began: float) -> None:
        self.process = False
        self._began = self._since = began
        self._stage = "starting"
        self._stages: dict[str, float] = {}

    def reached(self, stage: str, at: float) -> None:
        """Another stage began."""
        if stage != self._stage:
            self._stages[self._stage] = self._stages.get(self._stage, 0.0) + max(0.0, at - self._since)
            self._stage, self._since = stage, at

    def ended(self, at: float) -> tuple[float, dict[str, float]]:
        """Seconds in all, and of each stage."""
        self.reached("", at)
        return max(0.0, at - self._began), self._stages


class Foresight:
    """Run :meth:`run` as long as the fleet; it does nothing that a request waits for."""

    def __init__(self, bus: Bus, file: Path, around: Around) -> None:
        self._bus = bus
        self._around = around
        self._switches = Switches(file)
        self._courses: dict[str, Course] = {}

    async def run(self) -> None:
        """Follow the bus, ten looks a second at most, until cancelled."""
        seen = self._bus.last_id
        while True:
            await self._bus.changed(seen)
            events, seen = self._bus.rare_since(seen), self._bus.last_id
            for event in events:
                if isinstance(event, LoadProgress) and event.instance in self._courses:
                    self._courses[event.instance].reached(event.stage, event.at)
                elif isinstance(event, InstanceChanged):
                    await self._changed(event)
            # Thousands of requests a second must not wake this once each.
            await anyio.sleep(LOOK_S)

    async def _changed(self, event: InstanceChanged) -> None:
        if event.state == "starting":
            self._courses[event.instance] = Course(event.at)
        elif event.state == "loading" and event.instance in self._courses:
            self._courses[event.instance].process = True
        elif event.state in ("stopped", "failed"):
            self._courses.pop(event.instance, None)
        elif event.state == "ready":
            course = self._courses.pop(event.instance, None)
            if course is not None and course.process:
                await self._measure(event, course)
            await self._look_ahead(event.profile)

    async def _measure(self, event: InstanceChanged, course: Course) -> None:
        seconds, stages = course.ended(event.at)
        size = await anyio.to_thread.run_sync(lambda: _size(self._around.files(event.profile)))
        self._bus.publish(
            LoadMeasured(
                instance=event.instance,
                profile=event.profile,
                seconds=seconds,
                bytes=size,
                gb_per_s=size / seconds / 1e9 if seconds else 0.0,
                stages=stages,
            )
        )

    async def _look_ahead(self, profile: str) -> None:
        self._switches.loaded(profile)
        following = self._switches.next(self._around.resident())
        await anyio.to_thread.run_sync(self._save)
        if following is None:
            return
        limit = int(SHARE * self._around.free())
        asked = await anyio.to_thread.run_sync(lambda: read_ahead(self._around.files(following), limit))
        if asked:
            self._bus.publish(LoadForeseen(profile=following, after=profile, bytes=asked))

    def _save(self) -> None:
        try:
            self._switches.save()
        except OSError:
            return  # a full or read-only folder is told by the ledger; the history begins anew


def _size(files: Sequence[Path]) -> int:
    """Bytes of the files that are there."""
    found = 0
    for file in files:
        try:
            found += file.stat().st_size
        except OSError:
            continue
    return found
