"""A driver library that answers what it was told: the calls of NVML that Hostler makes.

The figures are what NVML reports of such cards, put together from its documentation and from what people
published; none was recorded where these tests were written.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field


class NVMLError(Exception):
    """As the real one: ``value`` is the library's return code."""

    def __init__(self, value: int, text: str) -> None:
        super().__init__(text)
        self.value = value


def not_supported() -> NVMLError:
    return NVMLError(3, "Not Supported")


def is_lost() -> NVMLError:
    return NVMLError(15, "GPU is lost")


@dataclass
class Memory:
    total: int
    free: int

    @property
    def used(self) -> int:
        return self.total - self.free


@dataclass
class Utilisation:
    gpu: int


@dataclass
class Process:
    pid: int
    usedGpuMemory: int | None


@dataclass
class Card:
    """One GPU; ``failing`` is raised by every call on it, ``without`` names calls that it does not support."""

    name: str = "NVIDIA GeForce RTX 4090"
    uuid: str = "GPU-3c9d2b1e-0000-4000-8000-000000000000"
    memory: Memory = field(default_factory=lambda: Memory(24564 * 2**20, 24000 * 2**20))
    capability: tuple[int, int] = (8, 9)
    cores: int = 16384
    bus_width: int = 384
    memory_clock: int = 10501
    pcie: tuple[int, int, int, int] = (1, 16, 4, 16)
    display: bool = False
    mig: tuple[int, int] | None = None
    processes: list[Process] = field(default_factory=list)
    busy: int = 37
    temperature: int = 54
    power: int = 211_400
    clock: int = 2520
    throttle: int = 0
    failing: NVMLError | None = None
    without: set[str] = field(default_factory=set)


class FakeNvml:
    """Satisfies :class:`hostler.hardware.nvidia.Nvml`. ``broken`` is raised by ``nvmlInit``."""

    NVMLError: type[Exception] = NVMLError

    def __init__(self, *cards: Card, broken: NVMLError | None = None) -> None:
        self.cards = list(cards)
        self.broken = broken
        self.opened = 0
        self.closed = 0

    def nvmlInit(self) -> None:
        if self.broken is not None:
            raise self.broken
        self.opened += 1

    def nvmlShutdown(self) -> None:
        self.closed += 1

    def nvmlSystemGetDriverVersion(self) -> str:
        return "580.95.05"

    def nvmlDeviceGetCount(self) -> int:
        return len(self.cards)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> object:
        return index

    def _card(self, handle: object, call: str) -> Card:
        assert isinstance(handle, int)
        card = self.cards[handle]
        if card.failing is not None:
            raise card.failing
        if call in card.without:
            raise not_supported()
        return card

    def nvmlDeviceGetName(self, handle: object) -> str:
        return self._card(handle, "name").name

    def nvmlDeviceGetUUID(self, handle: object) -> str:
        return self._card(handle, "uuid").uuid

    def nvmlDeviceGetMemoryInfo(self, handle: object) -> Memory:
        return self._card(handle, "memory").memory

    def nvmlDeviceGetCudaComputeCapability(self, handle: object) -> Iterable[int]:
        return self._card(handle, "capability").capability

    def nvmlDeviceGetNumGpuCores(self, handle: object) -> int:
        return self._card(handle, "cores").cores

    def nvmlDeviceGetMemoryBusWidth(self, device: object) -> int:
        return self._card(device, "bus").bus_width

    def nvmlDeviceGetMaxClockInfo(self, handle: object, type: int) -> int:
        card = self._card(handle, "clock")
        return card.memory_clock if type == 2 else card.clock

    def nvmlDeviceGetCurrPcieLinkGeneration(self, handle: object) -> int:
        return self._card(handle, "pcie").pcie[0]

    def nvmlDeviceGetCurrPcieLinkWidth(self, handle: object) -> int:
        return self._card(handle, "pcie").pcie[1]

    def nvmlDeviceGetMaxPcieLinkGeneration(self, handle: object) -> int:
        return self._card(handle, "pcie").pcie[2]

    def nvmlDeviceGetMaxPcieLinkWidth(self, handle: object) -> int:
        return self._card(handle, "pcie").pcie[3]

    def nvmlDeviceGetDisplayActive(self, handle: object) -> int:
        return int(self._card(handle, "display").display)

    def nvmlDeviceGetDisplayMode(self, handle: object) -> int:
        return int(self._card(handle, "display").display)

    def nvmlDeviceGetMigMode(self, device: object) -> Iterable[int]:
        mode = self._card(device, "mig").mig
        if mode is None:
            raise not_supported()
        return mode

    def nvmlDeviceGetComputeRunningProcesses(self, handle: object) -> Iterable[Process]:
        return self._card(handle, "processes").processes

    def nvmlDeviceGetGraphicsRunningProcesses(self, handle: object) -> Iterable[Process]:
        return self._card(handle, "processes").processes[:1]

    def nvmlDeviceGetUtilizationRates(self, handle: object) -> Utilisation:
        return Utilisation(self._card(handle, "utilisation").busy)

    def nvmlDeviceGetTemperature(self, handle: object, sensor: int) -> int:
        return self._card(handle, "temperature").temperature

    def nvmlDeviceGetPowerUsage(self, handle: object) -> int:
        return self._card(handle, "power").power

    def nvmlDeviceGetClockInfo(self, handle: object, type: int) -> int:
        return self.nvmlDeviceGetMaxClockInfo(handle, type)

    def nvmlDeviceGetCurrentClocksThrottleReasons(self, handle: object) -> int:
        return self._card(handle, "throttle").throttle
