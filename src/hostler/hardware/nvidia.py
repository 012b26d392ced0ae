"""NVIDIA GPUs, by NVML: the library that comes with the driver.

Nothing here raises: a machine without a driver, a driver that fails and a GPU that falls off the bus each are a
reason in words. ``pynvml`` is imported only when a driver is there.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import Final, NamedTuple, Protocol, TypeVar, cast

from hostler.hardware import known
from hostler.hardware.facts import Absence, Device, Figure, PcieLink
from hostler.hardware.host import HostMemory
from hostler.wire.hardware import Reading

T = TypeVar("T")

# Native Linux, and Windows' subsystem for it.
DRIVER_NODES = (Path("/dev/nvidiactl"), Path("/dev/dxg"))
RETRY_READS = 30

_NOT_SUPPORTED: Final = 3
_GRAPHICS_CLOCK: Final = 0
_MEMORY_CLOCK: Final = 2
_CORE_TEMPERATURE: Final = 0
# nvml.h, nvmlClocksEventReason*; being idle or set to a clock on purpose is no throttling.
_THROTTLING: Final = {
    0x04: "power limit",
    0x08: "hardware slowdown",
    0x20: "temperature",
    0x40: "temperature (hardware)",
    0x80: "power brake",
}


class _Memory(Protocol):
    total: int
    free: int
    used: int


class _Utilisation(Protocol):
    gpu: int


class _Process(Protocol):
    pid: int
    usedGpuMemory: int | None


class Nvml(Protocol):
    """The calls that are made; ``pynvml`` has them. Each may raise ``NVMLError``."""

    NVMLError: type[Exception]

    def nvmlInit(self) -> None: ...
    def nvmlShutdown(self) -> None: ...
    def nvmlSystemGetDriverVersion(self) -> str: ...
    def nvmlDeviceGetCount(self) -> int: ...
    def nvmlDeviceGetHandleByIndex(self, index: int) -> object: ...
    def nvmlDeviceGetName(self, handle: object) -> str: ...
    def nvmlDeviceGetUUID(self, handle: object) -> str: ...
    def nvmlDeviceGetMemoryInfo(self, handle: object) -> _Memory: ...
    def nvmlDeviceGetCudaComputeCapability(self, handle: object) -> Iterable[int]: ...
    def nvmlDeviceGetNumGpuCores(self, handle: object) -> int: ...
    def nvmlDeviceGetMemoryBusWidth(self, device: object) -> int: ...
    def nvmlDeviceGetMaxClockInfo(self, handle: object, type: int) -> int: ...
    def nvmlDeviceGetCurrPcieLinkGeneration(self, handle: object) -> int: ...
    def nvmlDeviceGetCurrPcieLinkWidth(self, handle: object) -> int: ...
    def nvmlDeviceGetMaxPcieLinkGeneration(self, handle: object) -> int: ...
    def nvmlDeviceGetMaxPcieLinkWidth(self, handle: object) -> int: ...
    def nvmlDeviceGetDisplayActive(self, handle: object) -> int: ...
    def nvmlDeviceGetDisplayMode(self, handle: object) -> int: ...
    def nvmlDeviceGetMigMode(self, device: object) -> Iterable[int]: ...
    def nvmlDeviceGetComputeRunningProcesses(self, handle: object) -> Iterable[_Process]: ...
    def nvmlDeviceGetGraphicsRunningProcesses(self, handle: object) -> Iterable[_Process]: ...
    def nvmlDeviceGetUtilizationRates(self, handle: object) -> _Utilisation: ...
    def nvmlDeviceGetTemperature(self, handle: object, sensor: int) -> int: ...
    def nvmlDeviceGetPowerUsage(self, handle: object) -> int: ...
    def nvmlDeviceGetClockInfo(self, handle: object, type: int) -> int: ...
    def nvmlDeviceGetCurrentClocksThrottleReasons(self, handle: object) -> int: ...


def library(nodes: Iterable[Path] = DRIVER_NODES) -> Nvml | str:
    """NVML, or why it cannot be had. Importing it costs 20 ms, so only where a driver is."""
    if not any(node.exists() for node in nodes):
        return "no NVIDIA driver is loaded"
    try:
        return cast(Nvml, importlib.import_module("pynvml"))
    except ImportError:
        return "the package nvidia-ml-py is not installed"


class Held(NamedTuple):
    """Bytes: all, free, and what our engines hold (None where the driver does not say)."""

    total: int
    free: int
    ours: int | None


class _Answers:
    """Asks one device; an error is None, and is remembered. ``any`` says whether it answered at all."""

    def __init__(self, nvml: Nvml) -> None:
        self._nvml = nvml
        self.reason = ""
        self.unsupported = False
        self.any = False

    def ask(self, call: Callable[[], T]) -> T | None:
        self.unsupported = False
        try:
            value = call()
        except self._nvml.NVMLError as error:
            self.reason = str(error)
            self.unsupported = getattr(error, "value", None) == _NOT_SUPPORTED
            return None
        self.any = True
        return value


class Nvidia:
    """The NVIDIA GPUs of this machine. Calls block for up to some milliseconds; one thread at a time."""

    def __init__(self, nvml: Nvml | str | None = None) -> None:
        self._nvml = library() if nvml is None else nvml
        self._handles: dict[str, object] | None = None
        self._wait = 0
        self.reason = self._nvml if isinstance(self._nvml, str) else ""

    def devices(self, host: HostMemory, ours: Collection[int] = ()) -> tuple[list[Device], list[Absence]]:
        """Every GPU, and why others cannot be used. ``ours`` are the pids of our engines.

        ``host`` stands for the memory of a GPU that has none of its own (GB10).
        """
        if isinstance(self._nvml, str) or not self._open(self._nvml):
            return [], [Absence("nvidia", self.reason)]
        if not self._handles:
            return [], [Absence("nvidia", self.reason)]
        made = [_device(self._nvml, name, handle, host, ours) for name, handle in self._handles.items()]
        absent = [each for each in made if isinstance(each, Absence)]
        return [each for each in made if isinstance(each, Device)], absent

    def read(self) -> tuple[dict[str, Reading], dict[str, str]]:
        """A reading of each GPU by its id, and the reason of each that no longer answers.

        A driver that is gone is looked for again every 30 reads.
        """
        if isinstance(self._nvml, str) or not self._open(self._nvml):
            return {}, {}
        readings: dict[str, Reading] = {}
        lost: dict[str, str] = {}
        for name, handle in (self._handles or {}).items():
            made = _reading(self._nvml, handle)
            if isinstance(made, str):
                lost[name] = made
            else:
                readings[name] = made
        if lost and not readings:
            self._forget(self._nvml)
        return readings, lost

    def memory(self, ours: Collection[int] = ()) -> dict[str, Held]:
        """The memory of each GPU that has its own and answers, by its id; two or three calls for each."""
        if isinstance(self._nvml, str) or not self._open(self._nvml):
            return {}
        nvml, found = self._nvml, {}
        for name, handle in (self._handles or {}).items():
            memory = _memory(nvml, handle)
            if memory is not None:
                held = _held_by(nvml, handle, ours) if ours else 0
                found[name] = Held(memory.total, memory.free, held)
        if self._handles and not found:
            self._forget(nvml)
        return found

    def holders(self, device: str) -> dict[int, int | None]:
        """Bytes that each process holds of a GPU, by its pid; None where the driver does not say how much."""
        if isinstance(self._nvml, str) or not self._open(self._nvml):
            return {}
        handle = (self._handles or {}).get(device)
        return {} if handle is None else _running(self._nvml, handle) or {}

    def close(self) -> None:
        """Let the driver go."""
        if not isinstance(self._nvml, str) and self._handles is not None:
            self._forget(self._nvml)

    def _open(self, nvml: Nvml) -> bool:
        """Whether NVML answers; tried again at times after it did not."""
        if self._handles is not None:
            return True
        if self._wait > 0:
            self._wait -= 1
            return False
        try:
            nvml.nvmlInit()
            handles = {f"gpu{i}": nvml.nvmlDeviceGetHandleByIndex(i) for i in range(nvml.nvmlDeviceGetCount())}
        except nvml.NVMLError as error:
            self.reason, self._wait = f"NVML fails: {error}", RETRY_READS
            return False
        self._handles, self.reason = handles, "" if handles else "the driver shows no GPU"
        return True

    def _forget(self, nvml: Nvml) -> None:
        self._handles, self._wait = None, RETRY_READS
        try:
            nvml.nvmlShutdown()
        except nvml.NVMLError as error:
            self.reason = f"NVML fails: {error}"


def _device(nvml: Nvml, number: str, handle: object, host: HostMemory, ours: Collection[int]) -> Device | Absence:
    asked = _Answers(nvml)
    ask = asked.ask
    name = ask(lambda: nvml.nvmlDeviceGetName(handle)) or "NVIDIA GPU"
    if next(iter(ask(lambda: nvml.nvmlDeviceGetMigMode(handle)) or ()), 0) == 1:
        return Absence("nvidia", f"{number} ({name}) is divided by MIG; Hostler does not use the parts", number)
    memory = ask(lambda: nvml.nvmlDeviceGetMemoryInfo(handle))
    unified = memory is None and asked.unsupported
    if memory is None and not unified:
        return Absence("nvidia", f"{number} ({name}) does not answer: {asked.reason}", number)
    total, free = (memory.total, memory.free) if memory is not None else (host.total, host.available)
    held = _held_by(nvml, handle, ours) if ours else 0
    capability = tuple(ask(lambda: nvml.nvmlDeviceGetCudaComputeCapability(handle)) or ())
    cores = ask(lambda: nvml.nvmlDeviceGetNumGpuCores(handle))
    found = known.published(name, total, cores)
    display = [ask(lambda: nvml.nvmlDeviceGetDisplayActive(handle)), ask(lambda: nvml.nvmlDeviceGetDisplayMode(handle))]
    return Device(
        id=number,
        kind="nvidia",
        name=name,
        total=total,
        free=free,
        foreign=None if held is None else max(0, total - free - held),
        bandwidth=found.bandwidth if found else _clocked(nvml, handle),
        rates=found.rates if found else {},
        unified=unified,
        display=any(display),
        target="sm_{}{}".format(*capability) if len(capability) == 2 else "",
        compute_capability=(capability[0], capability[1]) if len(capability) == 2 else None,
        pcie=None if unified else _pcie(nvml, handle),
        cores=cores,
        driver=ask(nvml.nvmlSystemGetDriverVersion) or "",
        uuid=ask(lambda: nvml.nvmlDeviceGetUUID(handle)) or "",
        sources={"total": "the host's memory, which this GPU shares" if unified else "NVML"},
    )


def _memory(nvml: Nvml, handle: object) -> _Memory | None:
    return _Answers(nvml).ask(lambda: nvml.nvmlDeviceGetMemoryInfo(handle))


def _held_by(nvml: Nvml, handle: object, ours: Collection[int]) -> int | None:
    """Bytes that ``ours`` hold; None where the driver does not say (in containers, on Windows)."""
    running = _running(nvml, handle)
    held = [] if running is None else [amount for pid, amount in running.items() if pid in ours]
    if running is None or None in held:
        return None
    return sum(amount or 0 for amount in held)


def _running(nvml: Nvml, handle: object) -> dict[int, int | None] | None:
    """Bytes that each process holds, by its pid; None when the driver says nothing at all."""
    asked = _Answers(nvml)
    running = [
        *(asked.ask(lambda: nvml.nvmlDeviceGetComputeRunningProcesses(handle)) or ()),
        *(asked.ask(lambda: nvml.nvmlDeviceGetGraphicsRunningProcesses(handle)) or ()),
    ]
    # A process that computes and draws stands in both lists with the same number.
    return {process.pid: process.usedGpuMemory for process in running} if asked.any else None


def _clocked(nvml: Nvml, handle: object) -> Figure | None:
    """Bandwidth of a card that is not in the table: two transfers per memory clock over the whole bus."""
    asked = _Answers(nvml)
    clock = asked.ask(lambda: nvml.nvmlDeviceGetMaxClockInfo(handle, _MEMORY_CLOCK))
    width = asked.ask(lambda: nvml.nvmlDeviceGetMemoryBusWidth(handle))
    if not clock or not width:
        return None
    return Figure(clock * 1e6 * 2 * width / 8, "NVML: memory clock x 2 x bus width")


def _pcie(nvml: Nvml, handle: object) -> PcieLink | None:
    asked = _Answers(nvml)
    told = (
        asked.ask(lambda: nvml.nvmlDeviceGetCurrPcieLinkGeneration(handle)),
        asked.ask(lambda: nvml.nvmlDeviceGetCurrPcieLinkWidth(handle)),
        asked.ask(lambda: nvml.nvmlDeviceGetMaxPcieLinkGeneration(handle)),
        asked.ask(lambda: nvml.nvmlDeviceGetMaxPcieLinkWidth(handle)),
    )
    numbers = [number for number in told if number]
    if len(numbers) != len(told):
        return None
    return PcieLink(generation=numbers[0], width=numbers[1], max_generation=numbers[2], max_width=numbers[3])


def _reading(nvml: Nvml, handle: object) -> Reading | str:
    """The reading; the reason when the device answers nothing at all."""
    asked = _Answers(nvml)
    ask = asked.ask
    busy = ask(lambda: nvml.nvmlDeviceGetUtilizationRates(handle))
    memory = ask(lambda: nvml.nvmlDeviceGetMemoryInfo(handle))
    power = ask(lambda: nvml.nvmlDeviceGetPowerUsage(handle))
    bits = ask(lambda: nvml.nvmlDeviceGetCurrentClocksThrottleReasons(handle)) or 0
    reading = Reading(
        at=time.time(),
        utilisation=None if busy is None else float(busy.gpu),
        used=None if memory is None else memory.used,
        temperature_c=ask(lambda: nvml.nvmlDeviceGetTemperature(handle, _CORE_TEMPERATURE)),
        power_w=None if power is None else power / 1000,
        clock_mhz=ask(lambda: nvml.nvmlDeviceGetClockInfo(handle, _GRAPHICS_CLOCK)),
        memory_clock_mhz=ask(lambda: nvml.nvmlDeviceGetClockInfo(handle, _MEMORY_CLOCK)),
        throttling=tuple(word for bit, word in _THROTTLING.items() if bits & bit),
    )
    return reading if asked.any else asked.reason
