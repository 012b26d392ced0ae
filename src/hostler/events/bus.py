"""The bus that carries events, and its ring.

The bus keeps the last :data:`RING` events. A subscription is only a cursor into that ring, so a slow reader costs no
memory: when the ring has moved past its cursor it receives one :class:`Gap` and goes on from the oldest event that is
left.

All methods are called on the event loop's thread.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator
from itertools import takewhile

import anyio
import msgspec

from hostler.clock import Clock, SystemClock
from hostler.events.kinds import AnyEvent, Gap, LeaseEnded, LeaseGranted, RequestQueued
from hostler.events.ring import Ring

RING = 10_000
#: Of those that are not of single requests; kept once more for those who look for nothing else.
RARE = 1_000
OF_REQUESTS = (RequestQueued, LeaseGranted, LeaseEnded)


class Bus:
    """Publishes events to any number of readers with bounded memory."""

    def __init__(self, clock: Clock | None = None, ring: int = RING) -> None:
        self._clock = clock or SystemClock()
        self._ring = Ring(ring)
        self._rare: deque[AnyEvent] = deque(maxlen=min(ring, RARE))
        self._last_id = 0
        self._arrival = anyio.Event()
        self._waiting = 0

    @property
    def last_id(self) -> int:
        """The id of the newest event; 0 before the first."""
        return self._last_id

    def publish(self, event: AnyEvent) -> AnyEvent:
        """Stamp ``event`` with the next id and the time, keep it, wake the readers."""
        self._last_id += 1
        stamped = msgspec.structs.replace(event, id=self._last_id, at=self._clock.wall())
        self._ring.append(stamped)
        if type(event) not in OF_REQUESTS:
            self._rare.append(stamped)
        if self._waiting:
            self._arrival.set()
            self._arrival = anyio.Event()
        return stamped

    def since(self, after: int, limit: int | None = None) -> list[AnyEvent]:
        """All kept events with an id above ``after``, or the first ``limit`` of them; begins with a :class:`Gap` if
        some are gone."""
        missed = self._last_id - after
        if missed <= 0:
            return []
        kept = self._ring.last(missed, limit)
        if missed > len(self._ring):
            gap = Gap(id=kept[0].id - 1, at=kept[0].at, first=after + 1, last=kept[0].id - 1)
            return [gap, *kept]
        return kept

    def rare_since(self, after: int) -> list[AnyEvent]:
        """Those with an id above ``after`` that are not of a single request, at most the last :data:`RARE`.

        For readers who look seldom and want only such: thousands of requests cost them nothing.
        """
        found = list(takewhile(lambda event: event.id > after, reversed(self._rare)))
        found.reverse()
        return found

    async def changed(self, after: int) -> None:
        """Return once an event with an id above ``after`` was published; at once if that is so already."""
        self._waiting += 1
        try:
            while self._last_id <= after:
                await self._arrival.wait()
        finally:
            self._waiting -= 1

    async def subscribe(self, after: int | None = None) -> AsyncIterator[AnyEvent]:
        """Yield events as they come, from the one after ``after`` (None: only new ones).

        Cancelling the reader ends the subscription; nothing is kept for it. An ``after`` above the newest
        id (a reader that knew an earlier run of the gateway) starts from the oldest kept event.
        """
        cursor = self._last_id if after is None else after
        if cursor > self._last_id:
            cursor = 0
        while True:
            await self.changed(cursor)
            for event in self.since(cursor):
                # The ring may have moved on while the reader was busy with this batch.
                cursor = event.id
                yield event
