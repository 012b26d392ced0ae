"""How full each device is, read so cheaply that it can be done at every load and every few seconds."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from hostler.config.quantities import format_bytes
from hostler.hardware import host
from hostler.hardware.facts import HOST, Device, Machine
from hostler.hardware.process import called, resident

if TYPE_CHECKING:
    from hostler.hardware.amd import Amd
    from hostler.hardware.nvidia import Nvidia


class DeviceReading(msgspec.Struct, frozen=True):
    """A device now: its size, what is free on it, and what of the used part is ours, in bytes.

    ``ours`` is None where the driver does not tell whose memory it is. ``device`` is the GPU; None for the host.
    """

    total: int
    free: int
    ours: int | None
    device: Device | None = None


def open_nvidia() -> Nvidia:
    """The driver; imported only where such a GPU is."""
    from hostler.hardware.nvidia import Nvidia

    return Nvidia()


class Occupancy:
    """This machine's devices. ``look`` inspects it (it blocks), ``nvidia`` opens the driver, which stays open.

    Until :meth:`machine` was asked for once, only the host is known: GPUs cost a start nothing. Safe to use from
    several threads.
    """

    def __init__(self, look: Callable[[], Machine], nvidia: Callable[[], Nvidia] = open_nvidia) -> None:
        self._look = look
        self._open_nvidia = nvidia
        self._lock = threading.Lock()
        self._machine: Machine | None = None
        self._nvidia: Nvidia | None = None
        self._amd: Amd | None = None

    @property
    def known(self) -> Machine | None:
        """The machine as it was seen, if it was."""
        return self._machine

    def machine(self) -> Machine:
        """The machine. Blocking (some milliseconds, a second on a Mac) until its memory has been measured."""
        with self._lock:
            if self._machine is None or self._machine.host.bandwidth is None:
                self._machine = self._look()
                self._open(self._machine)
            return self._machine

    def read(self, ours: Iterable[int]) -> dict[str, DeviceReading]:
        """Every device that answers, by its id; ``ours`` are the pids of our engines. Under a millisecond."""
        pids = list(ours)
        with self._lock:
            own = self._own_memory(pids)
        gpus = self._machine.gpus if self._machine is not None else ()
        # What is free of unified memory is what is free of the host.
        shared = {gpu.id: DeviceReading(gpu.total, gpu.total, 0, gpu) for gpu in gpus if gpu.unified}
        found = {gpu.id: replace(own[gpu.id], device=gpu) for gpu in gpus if gpu.id in own and not gpu.unified}
        return {**found, **shared, HOST: host_reading(pids)}

    def held_by(self, pid: int) -> dict[str, int]:
        """Bytes that the process holds, of each GPU whose driver tells; GPUs on which it holds nothing are left out."""
        if self._nvidia is None:
            return {}
        with self._lock:
            held = self._nvidia.memory((pid,))
        return {gpu: each.ours for gpu, each in held.items() if each.ours}

    def holders(self, device: str) -> list[str]:
        """Who holds memory of a GPU, most first, as ``name (pid 123): 4.0 GiB``; empty where the driver is silent."""
        if self._nvidia is None:
            return []
        with self._lock:
            found = self._nvidia.holders(device)
        most = sorted(found.items(), key=lambda held: -(held[1] or 0))
        return [f"{called(pid)}: {'some' if size is None else format_bytes(size)}" for pid, size in most]

    def _open(self, machine: Machine) -> None:
        if self._nvidia is None and any(gpu.kind == "nvidia" for gpu in machine.gpus):
            self._nvidia = self._open_nvidia()
        amd = [gpu for gpu in machine.gpus if gpu.kind == "amd"]
        if self._amd is None and amd:
            from hostler.hardware.amd import Amd  # as above

            self._amd = Amd(first=int(amd[0].id.removeprefix("gpu")))

    def _own_memory(self, pids: Collection[int]) -> dict[str, DeviceReading]:
        """Of every GPU that answers."""
        found: dict[str, DeviceReading] = {}
        if self._nvidia is not None:
            found |= {name: DeviceReading(*held) for name, held in self._nvidia.memory(pids).items()}
        if self._amd is not None and self._machine is not None:
            totals = {gpu.id: gpu.total for gpu in self._machine.gpus}
            for name, reading in self._amd.read()[0].items():
                if reading.used is not None and name in totals:
                    found[name] = DeviceReading(totals[name], max(0, totals[name] - reading.used), None)
        return found


def host_reading(pids: Iterable[int]) -> DeviceReading:
    """The host's memory; ours is what our engines hold without the pages of files."""
    memory = host.memory()
    held = [seen for pid in pids if (seen := resident(pid)) is not None]
    return DeviceReading(memory.total, memory.available, sum(each.anonymous + each.shared for each in held))
