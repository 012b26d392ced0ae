"""Whether an engine goes on with what it computes: looks at its slots, and how long nothing has changed. Pure."""

from __future__ import annotations

from typing import Final

from hostler.engines.protocol import LoadSpec, Progress

#: Pictures and sounds are encoded before a slot shows anything of it, on a processor for minutes.
ENCODING: Final = 5.0


class Pulse:
    """Of one instance. Times are seconds of the monotonic clock."""

    def __init__(self, now: float) -> None:
        self._since = now
        self._mark: tuple[tuple[int, ...], ...] = ()

    def rest(self, now: float) -> None:
        """Nothing is asked of it."""
        self._since, self._mark = now, ()

    def beat(self, seen: Progress, now: float) -> None:
        """It answered. Slots that are all idle, or have done something since the last look, go on."""
        if not seen.busy or seen.mark != self._mark:
            self._since, self._mark = now, seen.mark

    def still_s(self, now: float) -> float:
        """For how long nothing has gone on, as far as looks tell; an engine that does not even answer stands still."""
        return now - self._since


def patience(spec: LoadSpec, stall_s: float) -> float:
    """For how long an instance may stand still."""
    return stall_s * ENCODING if spec.model.projector is not None else stall_s
