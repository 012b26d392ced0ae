"""What a machine is: devices, processor, disk; of every figure, who says so.

Sizes are bytes, bandwidths bytes per second, rates operations per second (a multiply and an add are two).
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

Kind = Literal["nvidia", "amd", "apple", "host"]
RateType = Literal["f32", "f16", "int8"]

HOST: Final = "host"


class Figure(msgspec.Struct, frozen=True):
    """A number and its source: a data sheet, a driver, a measurement, an estimate."""

    value: float
    source: str


class PcieLink(msgspec.Struct, frozen=True, kw_only=True):
    """How a device is connected: what runs now, and what both ends can. Cards at rest lower the generation."""

    generation: int
    width: int
    max_generation: int
    max_width: int

    @property
    def bandwidth(self) -> float:
        """Bytes per second in one direction at the most that both ends can, encoding taken off."""
        return _PER_LANE.get(self.max_generation, 0.0) * self.max_width


# After 8b/10b (1 and 2) and 128b/130b (3 to 5) encoding; PCI Express Base Specification.
_PER_LANE = {1: 0.25e9, 2: 0.5e9, 3: 0.985e9, 4: 1.969e9, 5: 3.938e9, 6: 7.563e9}


class Device(msgspec.Struct, frozen=True, kw_only=True):
    """A place with memory and bandwidth.

    ``id`` is ``host``, or ``gpu0``, ``gpu1``, ... in the order of the PCI bus (CUDA counts so only with
    CUDA_DEVICE_ORDER=PCI_BUS_ID). ``foreign`` is what processes other than our engines hold; None where the
    driver does not tell. ``unified``: its memory is the host's and must not be counted twice; ``limit`` is
    then what it may use of it. ``rates`` are of dense matrix products; ``f16`` sums in f32. ``target`` is the
    architecture as compilers name it (``sm_89``, ``gfx1100``). ``sources`` says where the other figures are from.
    """

    id: str
    kind: Kind
    name: str
    total: int
    free: int
    foreign: int | None = None
    bandwidth: Figure | None = None
    rates: dict[RateType, Figure] = {}
    unified: bool = False
    limit: int | None = None
    display: bool = False
    target: str = ""
    compute_capability: tuple[int, int] | None = None
    pcie: PcieLink | None = None
    cores: int | None = None
    driver: str = ""
    uuid: str = ""
    sources: dict[str, str] = {}


class Cpu(msgspec.Struct, frozen=True, kw_only=True):
    """The processor: physical ``cores`` and hardware ``threads`` that this process may use.

    ``efficiency_cores`` of them are slow ones. ``flags`` are the instruction sets that inference uses;
    ``clock`` is the highest, in Hz.
    """

    model: str
    cores: int
    threads: int
    efficiency_cores: int = 0
    flags: tuple[str, ...] = ()
    clock: Figure | None = None


class NumaNode(msgspec.Struct, frozen=True, kw_only=True):
    """A part of the host's memory and the hardware threads that are near to it."""

    id: int
    threads: int
    memory: int


class Absence(msgspec.Struct, frozen=True):
    """Why a probe found nothing, or why ``device``, which is there, cannot be used."""

    probe: str
    reason: str
    device: str = ""


class Price(msgspec.Struct, frozen=True):
    """What a machine costs, and who says so."""

    amount: float
    currency: str
    source: str


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """A machine: this one, or one that is described in a file.

    ``devices`` are the GPUs, then the host. ``disk`` is how fast the library is read. ``absent`` says why other
    devices are not there. ``fingerprint`` stays the same while the hardware does.
    """

    name: str
    devices: tuple[Device, ...]
    cpu: Cpu
    description: str = ""
    described: bool = False
    numa: tuple[NumaNode, ...] = ()
    disk: Figure | None = None
    price: Price | None = None
    absent: tuple[Absence, ...] = ()
    fingerprint: str = ""

    @property
    def gpus(self) -> tuple[Device, ...]:
        """Every device but the host."""
        return tuple(device for device in self.devices if device.kind != HOST)

    @property
    def host(self) -> Device:
        """Main memory and the processor."""
        return next(device for device in self.devices if device.kind == HOST)

    def device(self, name: str) -> Device | None:
        """The device of that id."""
        return next((device for device in self.devices if device.id == name), None)
