"""Whether the memory of devices came back with the end of an engine; if not, who holds it.

Main memory is not looked at: what a process held is the system's again when it is reaped.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import anyio
import anyio.to_thread
import msgspec

from hostler.clock import Clock
from hostler.events import Bus, MemoryHeld

#: Drivers need some milliseconds; who takes longer has something else in the way.
WAIT_S: Final = 2.0
LOOK_S: Final = 0.05
#: Of what it held; the rest may be what others took meanwhile.
SHARE: Final = 0.5


class Held(msgspec.Struct, frozen=True):
    """Bytes of a device: what the engine held of it, and what was free then."""

    bytes: int
    free: int


class Returned:
    """``free`` reads a device (None: it does not answer), ``holders`` names who holds memory there; both block."""

    def __init__(
        self, bus: Bus, clock: Clock, free: Callable[[str], int | None], holders: Callable[[str], Sequence[str]]
    ) -> None:
        self._bus = bus
        self._clock = clock
        self._free = free
        self._holders = holders

    async def wait(self, profile: str, held: Mapping[str, Held], *, told: bool) -> None:
        """Until the devices have it back, at most :data:`WAIT_S`; then, if it is to be ``told``, who holds it."""
        began, left = self._clock.monotonic(), dict(held)
        while left:
            free = await anyio.to_thread.run_sync(self._read, tuple(left))
            left = {name: was for name, was in left.items() if missing(was, free[name]) > 0}
            if self._clock.monotonic() - began >= WAIT_S:
                break
            if left:
                await anyio.sleep(LOOK_S)
        for device, was in left.items() if told else ():
            holders = await anyio.to_thread.run_sync(self._holders, device)
            event = MemoryHeld(
                profile=profile,
                device=device,
                missing=missing(was, free[device]),
                holders=tuple(holders),
                waited_s=WAIT_S,
            )
            self._bus.publish(event)

    def _read(self, devices: Sequence[str]) -> dict[str, int | None]:
        return {device: self._free(device) for device in devices}


def missing(was: Held, free: int | None) -> int:
    """Bytes that should be free and are not; 0 or less when enough came back, or nobody can say."""
    return 0 if free is None else int(was.free + SHARE * was.bytes) - free
