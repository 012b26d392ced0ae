"""What it takes to run a profile, found before anything is started or evicted for it."""

from __future__ import annotations

import anyio.to_thread
from msgspec.structs import replace

from hostler.engines.prefetch import SHARE, read_ahead
from hostler.engines.protocol import LoadSpec, Runner
from hostler.errors import CapacityError
from hostler.events import Bus
from hostler.fleet.learning.experience import Experience
from hostler.fleet.preparer import Preparer
from hostler.fleet.recovery.retries import retried
from hostler.fleet.scheduling.messages import Want
from hostler.placement.wish import Room


class Preparing:
    """Prepares profiles: as they ask, or otherwise after they ran out of memory (`fleet/recovery/`)."""

    def __init__(self, runner: Runner, experience: Experience, bus: Bus) -> None:
        self._runner = runner
        self._measurements = experience.measurements
        self._retries = experience.retries
        self._bus = bus

    async def prepare(self, profile: str, preparer: Preparer) -> tuple[LoadSpec, Want]:
        """What ``profile`` needs now; raises every error that can be found without starting it.

        Changes that cannot be planned give way to another rung.
        """
        key, prepared = preparer.key(profile), None
        while prepared is None:
            prepared = await self._prepared(profile, key, preparer)
        spec, want = prepared
        await self._runner.preflight(spec)
        return spec, self._corrected(spec, want)

    async def _prepared(self, profile: str, key: str, preparer: Preparer) -> tuple[LoadSpec, Want] | None:
        """None when the changes it was prepared with do not hold: others do now, or none."""
        changes = self._retries.of(key)
        try:
            spec, want = await anyio.to_thread.run_sync(preparer.spec, profile, changes)
        except CapacityError:
            if not changes.steps:
                raise
            if self._retries.refused(key) is not None:
                self._bus.publish(retried("", profile, self._retries.of(key)))
            return None
        return (spec, want) if self._retries.suits(key, spec.build) else None

    async def read_ahead(self, spec: LoadSpec, spare: int) -> None:
        """Have the kernel read its files while room is made for it, into at most half of ``spare`` bytes of memory."""
        if spec.plan.run.direct:
            return
        await anyio.to_thread.run_sync(read_ahead, spec.model.files, int(SHARE * spare), abandon_on_cancel=True)

    def _corrected(self, spec: LoadSpec, want: Want) -> Want:
        """``want`` with what the same settings and flags were measured to hold, where that is known."""
        known = self._measurements.get(want.key)
        if known is not None:
            want = replace(want, load_s=known.load_s, reload_s=known.reload_s)
        if known is None or known.flags != spec.plan.argv:
            return want
        rooms = spec.plan.rooms
        need = {d: within_margin(known.bytes.get(d, size), rooms.get(d)) for d, size in want.need.items()}
        return replace(want, need=need)


def within_margin(measured: int, room: Room | None) -> int:
    """What was measured; but a little more than the plan had room for is what margins are for.

    Otherwise a model that fills its card would be refused the second time for what it held the first time.
    """
    if room is not None and room.available < measured <= room.available + room.margin // 2:
        return room.available
    return measured
