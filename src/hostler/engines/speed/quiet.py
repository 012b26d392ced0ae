"""How much of the processor goes to others than one engine: measurements count only when that is little."""

from __future__ import annotations

from typing import Final, NamedTuple

import anyio
import psutil

#: A part of all cores that other programs may have.
QUIET: Final = 0.1
LOOK_S: Final = 0.5
LOOKS: Final = 4


class Reading(NamedTuple):
    """Seconds since the start: of all cores in all, not idle, and the engine's."""

    whole: float
    busy: float
    engine: float


class Others:
    """Everything that runs beside the engine of process ``pid``."""

    def __init__(self, pid: int) -> None:
        self._pid = pid

    def read(self) -> Reading:
        """Now; the engine's part is 0 when it is gone."""
        times = psutil.cpu_times()
        # Time that a virtual machine was not given counts as others'.
        idle = times.idle + getattr(times, "iowait", 0.0)
        # Guests are counted in user time too.
        whole = sum(times) - getattr(times, "guest", 0.0) - getattr(times, "guest_nice", 0.0)
        try:
            own = psutil.Process(self._pid).cpu_times()
            return Reading(whole, whole - idle, own.user + own.system)
        except psutil.Error:
            return Reading(whole, whole - idle, 0.0)

    def share(self, since: Reading) -> float:
        """The part of all cores that others had since then, from 0 to 1."""
        now = self.read()
        whole = now.whole - since.whole
        others = (now.busy - since.busy) - (now.engine - since.engine)
        return min(max(others / whole, 0.0), 1.0) if whole > 0 else 0.0

    async def quiet(self, patience_s: float) -> bool:
        """Wait until others have little for half a second, or, once they had much, for two seconds on end.

        False when that did not come within ``patience_s``.
        """
        wanted, looks = 1, 0
        with anyio.move_on_after(patience_s):
            while looks < wanted:
                before = self.read()
                await anyio.sleep(LOOK_S)
                quiet = self.share(before) < QUIET
                wanted, looks = (wanted, looks + 1) if quiet else (LOOKS, 0)
            return True
        return False
