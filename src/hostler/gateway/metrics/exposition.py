"""`/metrics`: what was counted, and how everything stands at the moment of the scrape."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Final

import msgspec
import psutil

from hostler import __version__
from hostler.gateway.metrics.counting import COUNTED, Counting
from hostler.gateway.metrics.families import Family
from hostler.wire.hardware import DeviceMetrics
from hostler.wire.management import Instance

INFO: Final = Family("hostler_info", "gauge", "Always 1; the version is in its label.")
STARTED: Final = Family("process_start_time_seconds", "gauge", "When the gateway started, Unix seconds.")
MEMORY: Final = Family("process_resident_memory_bytes", "gauge", "Memory of the gateway, its engines left out.")
CPU: Final = Family("process_cpu_seconds_total", "counter", "Processor time of the gateway, its engines left out.")
RUNNING: Final = Family("hostler_requests_running", "gauge", "Requests that have an instance now.")
QUEUED: Final = Family("hostler_requests_queued", "gauge", "Requests that wait for one now.")
DROPPED: Final = Family("hostler_ledger_dropped_total", "counter", "Rows that the ledger could not write.")
INSTANCES: Final = Family("hostler_instances", "gauge", "Engines that run, by profile and state.")
LEASES: Final = Family("hostler_instance_requests", "gauge", "Requests that instances answer now, by profile.")
HELD: Final = Family("hostler_instance_memory_bytes", "gauge", "Memory that engines hold, by profile and device.")
SPEED: Final = Family("hostler_instance_tokens_per_second", "gauge", "Speed of the last answers, by profile.")
PRESENT: Final = Family("hostler_device_present", "gauge", "1 while the device answers.")
TOTAL: Final = Family("hostler_device_memory_total_bytes", "gauge", "Memory of the device.")
USED: Final = Family("hostler_device_memory_used_bytes", "gauge", "Memory in use on the device, by whomever.")
BUSY: Final = Family("hostler_device_utilisation_ratio", "gauge", "How busy the device is, 0 to 1.")
HEAT: Final = Family("hostler_device_temperature_celsius", "gauge", "Temperature of the device.")
POWER: Final = Family("hostler_device_power_watts", "gauge", "What the device draws.")
SLOWED: Final = Family("hostler_device_throttled", "gauge", "1 while the device runs slower than it could.")

FAMILIES: Final = (
    INFO, STARTED, MEMORY, CPU, RUNNING, QUEUED, DROPPED, INSTANCES, LEASES, HELD, SPEED, PRESENT, TOTAL, USED, BUSY,
    HEAT, POWER, SLOWED, *COUNTED,
)  # fmt: skip


class Sources(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked at a scrape. ``counts``: requests that run and that wait. None of it may block."""

    counts: Callable[[], tuple[int, int]]
    instances: Callable[[], Iterable[Instance]]
    devices: Callable[[], Iterable[DeviceMetrics]]
    dropped: Callable[[], int]


class Exposition:
    """Writes the page."""

    def __init__(self, counting: Counting, sources: Sources) -> None:
        self._counting = counting
        self._sources = sources
        self._process = psutil.Process()

    def page(self) -> bytes:
        """Everything, now."""
        return "".join((*self._now(), *self._counting.lines())).encode()

    def _now(self) -> Iterator[str]:
        running, queued = self._sources.counts()
        yield _one(INFO, 1, version=__version__)
        yield _one(STARTED, self._process.create_time())
        yield _one(MEMORY, self._process.memory_info().rss)
        yield _one(CPU, time.process_time())
        yield _one(RUNNING, running)
        yield _one(QUEUED, queued)
        yield _one(DROPPED, self._sources.dropped())
        yield from _instances(list(self._sources.instances()))
        yield from _devices(list(self._sources.devices()))


def _one(family: Family, value: float, **labels: str) -> str:
    return family.head() + family.sample(value, **labels)


def _instances(instances: list[Instance]) -> Iterator[str]:
    """Added up by profile: the names of instances are new with every load."""
    states, leases = Counter[tuple[str, str]](), Counter[str]()
    held, speeds = Counter[tuple[str, str]](), dict[str, float]()
    for each in instances:
        states[each.profile, each.state] += 1
        leases[each.profile] += each.leases
        held.update({(each.profile, device): count for device, count in each.bytes.items()})
        if each.tokens_per_s is not None:
            speeds[each.profile] = each.tokens_per_s
    yield INSTANCES.head()
    yield from (INSTANCES.sample(n, profile=profile, state=state) for (profile, state), n in states.items())
    yield LEASES.head()
    yield from (LEASES.sample(n, profile=profile) for profile, n in leases.items())
    yield HELD.head()
    yield from (HELD.sample(n, profile=profile, device=device) for (profile, device), n in held.items())
    yield SPEED.head()
    yield from (SPEED.sample(speed, profile=profile) for profile, speed in speeds.items())


def _devices(devices: list[DeviceMetrics]) -> Iterator[str]:
    told = [(each, each.now) for each in devices if each.present and each.now is not None]
    yield from _gauge(PRESENT, ((each, float(each.present)) for each in devices))
    yield from _gauge(TOTAL, ((each, each.total or None) for each in devices))
    yield from _gauge(USED, ((each, now.used) for each, now in told))
    yield from _gauge(BUSY, ((each, now.utilisation and now.utilisation / 100) for each, now in told))
    yield from _gauge(HEAT, ((each, now.temperature_c) for each, now in told))
    yield from _gauge(POWER, ((each, now.power_w) for each, now in told))
    yield from _gauge(SLOWED, ((each, float(bool(now.throttling))) for each, now in told))


def _gauge(family: Family, values: Iterable[tuple[DeviceMetrics, float | None]]) -> Iterator[str]:
    """A line for each device that tells it."""
    yield family.head()
    for each, value in values:
        if value is not None:
            yield family.sample(value, device=each.device, kind=each.kind, name=each.name)
