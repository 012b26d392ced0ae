"""What of the state folder cannot be written now, looked at from time to time, and told as events."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, Literal

import anyio
import anyio.to_thread

from hostler.events import Bus, StateUnwritable

Part = Literal["ledger", "audit", "log", "captures", "prompts"]

LOOK_S: Final = 1.0


class Unwritable:
    """Each source says why its part cannot be written, or "" when it can; they must not block.

    ``again`` are called in a thread while their part has trouble, so that its end shows before anything is written.
    """

    def __init__(
        self,
        sources: Mapping[Part, Callable[[], str]],
        bus: Bus,
        again: Mapping[Part, Callable[[], None]] | None = None,
    ) -> None:
        self._sources = sources
        self._again = again or {}
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
            await self.try_again()
            self.look()
            await anyio.sleep(LOOK_S)

    async def try_again(self) -> None:
        """See whether what could not be written can be now."""
        for part, again in self._again.items():
            if self._sources[part]():
                await anyio.to_thread.run_sync(again)


def trouble_in(folder: Path) -> str:
    """Why nothing can be written in ``folder`` now, by trying; "" when it can. Blocking."""
    import tempfile

    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(4096))
    except OSError as failure:
        return failure.strerror or str(failure)
    return ""
