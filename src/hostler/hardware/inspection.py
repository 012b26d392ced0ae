"""Looks at this machine: every probe once, and what was measured before."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

import msgspec

from hostler.hardware import apple, bandwidth, host, processor
from hostler.hardware.amd import Amd
from hostler.hardware.facts import Absence, Cpu, Device, Machine
from hostler.hardware.nvidia import Nvidia
from hostler.hardware.process import resident

THIS = "this"


def inspect(cache: Path | None = None, ours: Collection[int] = (), nvidia: Nvidia | None = None) -> Machine:
    """This machine now. ``ours`` are the pids of our engines; measured figures are taken from ``cache``.

    Blocking, some milliseconds (a second on a Mac, whose tools are slow). Raises nothing: what cannot be
    found stands in ``absent``.
    """
    memory, cpu = host.memory(), processor.cpu()
    held = sum(seen.anonymous + seen.shared for pid in ours if (seen := resident(pid)) is not None)
    gpus, absent = _gpus(memory, held, ours, nvidia or Nvidia())
    devices = (*gpus, processor.device(memory, cpu, held))
    machine = Machine(
        name=THIS,
        description=platform.node(),
        devices=devices,
        cpu=cpu,
        numa=processor.numa(),
        absent=tuple(absent),
        fingerprint=fingerprint(cpu, devices),
    )
    measured = bandwidth.remembered(cache, machine.fingerprint) if cache else None
    return with_measured(machine, measured) if measured else machine


def inspect_and_measure(
    cache: Path,
    files: Callable[[], Sequence[Path]] = tuple,
    *,
    again: bool = False,
    tell: Callable[[], None] | None = None,
) -> Machine:
    """This machine, its memory and disk measured if they were not yet, or ``again``; that takes about a second.

    ``files`` gives those of the library and is called only to measure, as is ``tell``. A measurement that fails
    leaves the figures out.
    """
    found = inspect(cache)
    if found.host.bandwidth is not None and not again:
        return found
    if tell is not None:
        tell()
    return measure(cache, found, files())


def measure(cache: Path, machine: Machine, files: Sequence[Path]) -> Machine:
    """``machine`` with memory and disk measured now, and kept in ``cache``; about a second."""
    measured = bandwidth.measure_apart(files)
    if measured is None:
        return machine
    bandwidth.remember(cache, machine.fingerprint, measured)
    return with_measured(machine, measured)


def _gpus(
    memory: host.HostMemory, held: int, ours: Collection[int], nvidia: Nvidia
) -> tuple[list[Device], list[Absence]]:
    if platform.system() == "Darwin":
        return apple.probe(memory.available, ours=held)
    gpus, absent = nvidia.devices(memory, ours)
    # A number is a device's own, whether it can be used or not.
    others, missing = Amd(first=len(gpus) + sum(bool(each.device) for each in absent)).devices()
    return gpus + others, absent + missing


def with_measured(machine: Machine, measured: bandwidth.Measured) -> Machine:
    """``machine`` with measured figures in the place of published ones.

    A GPU that shares the host's memory keeps the published bandwidth: the cores alone cannot reach it.
    """
    devices = tuple(
        msgspec.structs.replace(device, bandwidth=measured.memory) if device.kind == "host" else device
        for device in machine.devices
    )
    return msgspec.structs.replace(machine, devices=devices, disk=measured.disk or machine.disk)


def fingerprint(cpu: Cpu, devices: Collection[Device]) -> str:
    """The same while processor, memory and GPUs are; memory counts in whole GiB, as systems take some of it."""
    told = [platform.node(), cpu.model, str(cpu.threads)]
    told += [f"{device.uuid or device.name} {round(device.total / 2**30)}" for device in devices]
    return hashlib.sha256("\n".join(told).encode()).hexdigest()[:16]
