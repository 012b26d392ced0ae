"""Telemetry: reads every device once a second, keeps fifteen minutes, tells when throttling begins and ends.

Each source is read in a thread of its own, one that does not keep the process alive: a driver that hangs stops its own
devices' readings and nothing else, not even the end of the gateway.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

import anyio
import msgspec

from hostler import log
from hostler.events import Bus, DeviceFound, DeviceLost, DeviceThrottling
from hostler.wire.hardware import DeviceMetrics, History, Metrics, Reading

if TYPE_CHECKING:
    from hostler.hardware.facts import Device, Machine

T = TypeVar("T")

INTERVAL_S: Final = 1.0
KEPT: Final = 900
# The first seconds of a gateway belong to the first request.
DELAY_S: Final = 3.0
# A card under load touches its power limit all the time: it throttles when it stays there.
BEGINS_AFTER: Final = 3
ENDS_AFTER: Final = 10
IDLE_FOR: Final = 30

Measure = Callable[["Machine"], None]
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
    pids of our engines. ``measure`` is called, once, on a machine that was not measured yet, when no engine has
    run for half a minute.
    """

    def __init__(
        self,
        bus: Bus,
        look: Callable[[Collection[int]], Machine],
        sources: Callable[[Machine], Sequence[Timed]],
        ours: Callable[[], Collection[int]] = tuple,
        measure: Measure | None = None,
        interval_s: float = INTERVAL_S,
    ) -> None:
        self._bus = bus
        self._look = look
        self._sources = sources
        self._ours = ours
        self._measure = measure
        self._interval_s = interval_s
        self._tracks: dict[str, _Track] = {}
        self._devices: dict[str, Device] = {}

    async def run(self, delay_s: float = DELAY_S) -> None:
        """Read until cancelled, beginning after ``delay_s``."""
        await anyio.sleep(delay_s)
        try:
            machine = await self.machine()
            timed = await _apart(lambda: self._sources(machine))
        except Exception as error:  # noqa: BLE001  a driver's library is another program's edge
            log.bug("telemetry.not_started", error)
            return
        async with anyio.create_task_group() as group:
            for each in timed:
                group.start_soon(self._follow, each)
            if self._measure is not None and machine.host.bandwidth is None:
                group.start_soon(self._measure_when_idle, self._measure, machine)

    async def machine(self) -> Machine:
        """This machine now."""
        pids = self._ours()
        found = await _apart(lambda: self._look(pids))
        self._devices |= {device.id: device for device in found.devices}
        return found

    async def _follow(self, timed: Timed) -> None:
        try:
            while True:
                readings, lost = await _apart(timed.source.read)
                self.take(readings, lost)
                await anyio.sleep(self._interval_s * timed.every)
        except Exception as error:  # noqa: BLE001  as above; the gateway goes on without these readings
            log.bug("telemetry.stopped", error, source=type(timed.source).__name__)
        finally:  # in a thread as well: a driver that hangs in a read hangs here too
            threading.Thread(target=timed.source.close, name="telemetry", daemon=True).start()

    async def _measure_when_idle(self, measure: Measure, machine: Machine) -> None:
        """Measure once nothing has run for a while: otherwise both would be slower."""
        quiet = 0
        while quiet < IDLE_FOR:
            await anyio.sleep(self._interval_s)
            quiet = 0 if self._busy() else quiet + 1
        await _apart(lambda: measure(machine))

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

    def _busy(self) -> bool:
        return bool(self._ours())

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

    def throttled(self) -> dict[str, tuple[str, ...]]:
        """Why devices are slower than they could be, and stay so."""
        return {n: t.readings[-1].throttling for n, t in self._tracks.items() if t.throttling and not t.lost}

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


async def _apart(call: Callable[[], T]) -> T:
    """``call()``, in a thread that dies with the process. Cancelling leaves it behind."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: Exception | None) -> None:
        if done.cancelled():
            return
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(result)  # type: ignore[arg-type]

    def work() -> None:
        result: T | None = None
        failed: Exception | None = None
        try:
            result = call()
        except Exception as error:  # noqa: BLE001  raised again where it is awaited
            failed = error
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(settle, result, failed)

    threading.Thread(target=work, name="telemetry", daemon=True).start()
    return await done


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
