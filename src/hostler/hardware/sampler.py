"""Telemetry: reads every device once a second, keeps fifteen minutes, tells when throttling begins and ends.

Each source is read in a thread of its own: a driver that hangs stops its own devices' readings and nothing else.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Final, Protocol

import anyio
import anyio.abc
import anyio.to_thread
import msgspec

from hostler.events import Bus, DeviceFound, DeviceLost, DeviceThrottling
from hostler.wire.hardware import DeviceMetrics, History, Metrics, Reading

if TYPE_CHECKING:
    from hostler.hardware.facts import Device, Machine

INTERVAL_S: Final = 1.0
KEPT: Final = 900
# The first seconds of a gateway belong to the first request.
DELAY_S: Final = 3.0
# A card under load touches its power limit all the time: it throttles when it stays there.
BEGINS_AFTER: Final = 3
ENDS_AFTER: Final = 10

Readings = tuple[dict[str, Reading], dict[str, str]]


class Source(Protocol):
    """Reads one kind of devices; may block, must not raise."""

    def read(self) -> Readings:
        """A reading per device id, and the reason of each device that does not answer."""
        ...

    def close(self) -> None:
        """Let go of what is open."""
        ...


class Timed(msgspec.Struct, frozen=True):
    """A source, and after how many intervals each it is read: some tools cost too much for every second."""

    source: Source
    every: int = 1


class _Track:
    """What is kept of one device."""

    def __init__(self, kept: int) -> None:
        self.readings: deque[Reading] = deque(maxlen=kept)
        self.lost = ""
        self.throttling = False
        self._streak = 0

    def turned(self, reading: Reading) -> bool:
        """Take the reading; True when throttling has begun or ended with it."""
        self.readings.append(reading)
        if bool(reading.throttling) == self.throttling:
            self._streak = 0
            return False
        self._streak += 1
        if self._streak < (ENDS_AFTER if self.throttling else BEGINS_AFTER):
            return False
        self.throttling, self._streak = not self.throttling, 0
        return True


class Telemetry:
    """The readings of this machine's devices.

    ``look`` gives the machine as it is now (it blocks), ``sources`` what reads its devices. ``ours`` are the
    pids of our engines.
    """

    def __init__(
        self,
        bus: Bus,
        look: Callable[[Collection[int]], Machine],
        sources: Callable[[Machine], Sequence[Timed]],
        ours: Callable[[], Collection[int]] = tuple,
        interval_s: float = INTERVAL_S,
    ) -> None:
        self._bus = bus
        self._look = look
        self._sources = sources
        self._ours = ours
        self._interval_s = interval_s
        self._tracks: dict[str, _Track] = {}
        self._devices: dict[str, Device] = {}

    async def run(self, delay_s: float = DELAY_S) -> None:
        """Read until cancelled, beginning after ``delay_s``."""
        await anyio.sleep(delay_s)
        machine = await self.machine()
        async with anyio.create_task_group() as group:
            for timed in await anyio.to_thread.run_sync(self._sources, machine):
                group.start_soon(self._follow, timed)

    async def machine(self) -> Machine:
        """This machine now."""
        pids = self._ours()
        found = await anyio.to_thread.run_sync(self._look, pids, abandon_on_cancel=True)
        self._devices |= {device.id: device for device in found.devices}
        return found

    async def _follow(self, timed: Timed) -> None:
        try:
            while True:
                readings, lost = await anyio.to_thread.run_sync(timed.source.read, abandon_on_cancel=True)
                self.take(readings, lost)
                await anyio.sleep(self._interval_s * timed.every)
        finally:
            timed.source.close()

    def take(self, readings: dict[str, Reading], lost: dict[str, str]) -> None:
        """Keep the readings, and publish what has changed by them."""
        for device, reading in readings.items():
            track = self._track(device)
            if track.lost:
                track.lost = ""
                self._bus.publish(DeviceFound(device=device))
            if track.turned(reading):
                reasons = reading.throttling
                self._bus.publish(DeviceThrottling(device=device, active=track.throttling, reasons=reasons))
        for device, reason in lost.items():
            track = self._track(device)
            if not track.lost:
                track.lost = reason or "it does not answer"
                self._bus.publish(DeviceLost(device=device, reason=track.lost))

    def _track(self, device: str) -> _Track:
        return self._tracks.setdefault(device, _Track(round(KEPT * INTERVAL_S / self._interval_s)))

    def metrics(self, device: str | None = None, seconds: float = KEPT) -> Metrics:
        """The readings of the last ``seconds``, of ``device`` or of all; GPUs first, as they are numbered."""
        names = [name for name in self._tracks if device in (None, name)]
        names.sort(key=lambda name: (name == "host", len(name), name))
        return Metrics(
            interval_s=self._interval_s,
            kept_s=KEPT * INTERVAL_S,
            devices=tuple(self._metrics(name, self._tracks[name], seconds) for name in names),
        )

    def knows(self, device: str) -> bool:
        """Whether there is, or was, a device of that id."""
        return device in self._tracks or device in self._devices

    def _metrics(self, name: str, track: _Track, seconds: float) -> DeviceMetrics:
        device = self._devices.get(name)
        newest = track.readings[-1] if track.readings else None
        return DeviceMetrics(
            device=name,
            kind=device.kind if device else "host",
            name=device.name if device else name,
            total=device.total if device else 0,
            present=not track.lost,
            reason=track.lost,
            now=newest,
            history=_columns([r for r in track.readings if newest is not None and r.at > newest.at - seconds]),
        )


def _columns(readings: Sequence[Reading]) -> History:
    return History(
        at=tuple(r.at for r in readings),
        utilisation=tuple(r.utilisation for r in readings),
        used=tuple(r.used for r in readings),
        temperature_c=tuple(r.temperature_c for r in readings),
        power_w=tuple(r.power_w for r in readings),
        clock_mhz=tuple(r.clock_mhz for r in readings),
        memory_clock_mhz=tuple(r.memory_clock_mhz for r in readings),
        throttled=tuple(bool(r.throttling) for r in readings),
    )
