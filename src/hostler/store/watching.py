"""What of the state folder cannot be written now, looked at from time to time, and told as events."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, Literal

import anyio

from hostler.events import Bus, StateUnwritable

Part = Literal["ledger", "audit", "log", "captures"]

LOOK_S: Final = 1.0


class Unwritable:
    """Each source says why its part cannot be written, or "" when it can. They must not block."""

    def __init__(self, sources: Mapping[Part, Callable[[], str]], bus: Bus) -> None:
        self._sources = sources
        self._bus = bus
        self._told: set[Part] = set()

    def now(self) -> dict[str, str]:
        """Why, by part; what can be written is left out."""
        return {part: reason for part, source in self._sources.items() if (reason := source())}

    def look(self) -> None:
        """Publish what has begun, and what is over, since it was last asked."""
        for part, source in self._sources.items():
            reason = source()
            if bool(reason) != (part in self._told):
                self._told ^= {part}
                self._bus.publish(StateUnwritable(part=part, active=bool(reason), reason=reason))

    async def run(self) -> None:
        """Look every :data:`LOOK_S` seconds, until cancelled."""
        while True:
            self.look()
            await anyio.sleep(LOOK_S)
