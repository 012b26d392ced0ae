"""What telemetry reads on this machine. Imported behind the listener: it brings every probe with it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import psutil

from hostler.hardware import apple, host
from hostler.hardware.amd import Amd
from hostler.hardware.facts import HOST, Machine
from hostler.hardware.nvidia import Nvidia
from hostler.hardware.sampler import Readings, Timed
from hostler.wire.hardware import Reading

# `ioreg` is a process of its own, 20 to 30 ms each time.
APPLE_EVERY = 10
_SENSORS = ("coretemp", "k10temp", "zenpower", "cpu_thermal")


def of(machine: Machine) -> list[Timed]:
    """The sources of the devices that ``machine`` has."""
    kinds = [device.kind for device in machine.devices]
    found = [Timed(Host())]
    if "nvidia" in kinds:
        found.append(Timed(Nvidia()))
    if "amd" in kinds or any(absence.probe == "amd" and absence.device for absence in machine.absent):
        found.append(Timed(Amd(first=_first_amd(machine))))
    if "apple" in kinds:
        found.append(Timed(AppleGpu(), APPLE_EVERY))
    return found


def _first_amd(machine: Machine) -> int:
    """The number of the first AMD GPU, whether it can be used or not."""
    told = [device.id for device in machine.devices if device.kind == "amd"]
    told += [absence.device for absence in machine.absent if absence.probe == "amd" and absence.device]
    return min(int(name.removeprefix("gpu")) for name in told)


class Host:
    """Processor and memory; ``root`` is where /sys is looked for."""

    def __init__(self, root: Path = Path("/")) -> None:
        self._cpu = root / "sys/devices/system/cpu/cpu0"
        self._temperature = _sensor(root)
        self._throttled = self._throttle_count()
        self._times = _times()

    def read(self) -> Readings:
        memory = host.memory()
        count = self._throttle_count()
        throttling = ("temperature",) if count > self._throttled else ()
        self._throttled = count
        degrees, kilohertz = _number(self._temperature), _number(self._cpu / "cpufreq/scaling_cur_freq")
        reading = Reading(
            at=time.time(),
            utilisation=self._busy(),
            used=memory.total - memory.available,
            temperature_c=None if degrees is None else degrees / 1000,
            clock_mhz=None if kilohertz is None else kilohertz / 1000,
            throttling=throttling,
        )
        return {HOST: reading}, {}

    def close(self) -> None:
        """Nothing is held open."""

    def _busy(self) -> float | None:
        """Percent of all cores since the last reading; None when no time has passed.

        Not psutil's ``cpu_percent``: it remembers the last reading per thread, and threads change here.
        """
        before, self._times = self._times, _times()
        passed = self._times[1] - before[1]
        return round(100 * (self._times[0] - before[0]) / passed, 1) if passed > 0 else None

    def _throttle_count(self) -> int:
        """How often the first core was slowed down because it was hot; 0 where that is not counted."""
        return _number(self._cpu / "thermal_throttle/core_throttle_count") or 0


class AppleGpu:
    """The GPU of a Mac, from what `ioreg` prints."""

    def __init__(self, run: Callable[[tuple[str, ...]], str] = apple.run) -> None:
        self._run = run

    def read(self) -> Readings:
        busy, used = apple.utilisation(self._run(apple.COMMANDS["ioreg"]))
        if busy is None and used is None:
            return {}, {"gpu0": "ioreg does not show the GPU"}
        return {"gpu0": Reading(at=time.time(), utilisation=busy, used=used)}, {}

    def close(self) -> None:
        """Nothing is held open."""


def _times() -> tuple[float, float]:
    """Seconds that all cores were busy, and all of their seconds."""
    times = psutil.cpu_times()
    # What guests use is in user and nice already.
    total = sum(times) - getattr(times, "guest", 0.0) - getattr(times, "guest_nice", 0.0)
    return total - times.idle - getattr(times, "iowait", 0.0), total


def _sensor(root: Path) -> Path | None:
    """The file with the processor's temperature, in thousandths of a degree."""
    for folder in sorted((root / "sys/class/hwmon").glob("hwmon*")):
        try:
            name = (folder / "name").read_text("utf-8", "replace").strip()
        except OSError:
            continue
        if name in _SENSORS:
            return folder / "temp1_input"
    return None


def _number(file: Path | None) -> int | None:
    try:
        text = file.read_text("utf-8", "replace").strip() if file else ""
    except OSError:
        return None
    return int(text) if text.isdecimal() and len(text) < 19 else None
