"""Whether the machine slept: the clock on the wall then goes on while the other one stands still."""

from __future__ import annotations

from typing import Final

from hostler.clock import Clock

#: Less is the wall clock being set right.
LEAST_S: Final = 20.0


class SleepWatch:
    """Compares the two clocks whenever it is asked."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._apart = clock.wall() - clock.monotonic()

    def slept_s(self) -> float:
        """For how long the machine slept since it was asked the last time; 0 when it did not."""
        before, self._apart = self._apart, self._clock.wall() - self._clock.monotonic()
        gone = self._apart - before
        return gone if gone >= LEAST_S else 0.0
