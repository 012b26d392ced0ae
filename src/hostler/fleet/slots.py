"""Watching until the slot of a request that was hung up on is really free.

A stream in decode notices within milliseconds. Whatever else llama.cpp notices only after a second in which no
question came in, and asking for `/slots` is a question: so the first look comes after that second, and those who wait
for the same instance share later ones, which are further apart than that. A question that comes while a batch is
computed is answered right before what was noticed is acted on, so that a second look follows the first at once.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio

from hostler.clock import Clock
from hostler.fleet.protocol import Abandoned

#: Pauses between looks in seconds; the instance is given up after the last.
LOOKS_S: dict[Abandoned, tuple[float, ...]] = {
    "streaming": (0.03, 0.03, 0.05, 0.1, 0.1, 0.2, 0.5, *[1.6] * 12),
    "silent": (1.1, 0.06, *[1.6] * 12),
}
SHARED_S = 1.5
ANSWER_S = 5.0


class SlotWatch:
    """The looks at one instance."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._looking = anyio.Lock()
        self._looked_at = float("-inf")
        self._busy: int | None = None

    async def freed(
        self,
        abandoned: Abandoned,
        leases: Callable[[], int],
        ask: Callable[[], Awaitable[int | None]],
        within_s: float = float("inf"),
    ) -> bool:
        """Wait until no more than ``leases()`` slots are busy by ``ask``; False when that never comes.

        No look begins later than ``within_s``, or than :data:`LOOKS_S` says. ``ask`` answers None when the instance is
        gone or does not tell; that counts as free.
        """
        began = self._clock.monotonic()
        slept_s = 0.0
        for pause_s in LOOKS_S[abandoned]:
            if slept_s >= within_s:
                return False
            await anyio.sleep(pause_s)
            slept_s += pause_s
            busy = await self._look(began, ask, share=pause_s > SHARED_S)
            if busy is None or busy <= leases():
                return True
        return False

    async def _look(self, began: float, ask: Callable[[], Awaitable[int | None]], *, share: bool) -> int | None:
        """How many slots are busy: as somebody saw after ``began`` and just now, else asked for."""
        async with self._looking:
            now = self._clock.monotonic()
            if share and self._looked_at > max(began, now - SHARED_S):
                return self._busy
            self._busy = 1_000_000  # an engine that does not even answer is busy
            with anyio.move_on_after(ANSWER_S):
                self._busy = await ask()
            self._looked_at = self._clock.monotonic()
            return self._busy
