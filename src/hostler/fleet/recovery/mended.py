"""A profile that failed for good may be mended: another file, another build, a device that is there again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import anyio
import anyio.to_thread

from hostler.events import Bus, DeviceFound, InstanceChanged

LOOK_S: Final = 5.0

#: What a profile's engine depends on, as text that changes with it. Called in a thread; never raises.
Marks = Callable[[str], str]


class Mended:
    """Calls ``again`` when what a failed profile depends on has changed; what it is set to is the configuration's.

    ``failed`` says whether a profile still is. One look costs a few questions to the file system, and there is none
    while no profile has failed.
    """

    def __init__(self, bus: Bus, marks: Marks, failed: Callable[[str], bool], again: Callable[[], None]) -> None:
        self._bus = bus
        self._marks = marks
        self._failed = failed
        self._again = again
        self._seen: dict[str, str] = {}

    async def run(self, look_s: float = LOOK_S) -> None:
        """Until cancelled."""
        after = self._bus.last_id
        while True:
            await anyio.sleep(look_s)
            events, after = self._bus.rare_since(after), self._bus.last_id
            found = any(isinstance(event, DeviceFound) for event in events)
            fresh = {e.profile for e in events if isinstance(e, InstanceChanged) and e.state == "failed"}
            if await self._changed(fresh) or (found and self._seen):
                self._seen = {}
                self._again()

    async def _changed(self, fresh: set[str]) -> bool:
        """Whether anything is other than when it was first looked at; forgets who has not failed any more."""
        names = {name for name in {*self._seen, *fresh} if self._failed(name)}
        now = await anyio.to_thread.run_sync(lambda: {name: self._marks(name) for name in names}) if names else {}
        changed = any(self._seen.get(name, mark) != mark for name, mark in now.items())
        self._seen = now
        return changed
