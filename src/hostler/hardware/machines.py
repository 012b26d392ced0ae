"""Machines that are described in a file: those that come with Hostler, and anybody's own.

What a file leaves out is filled in: bandwidth and rates from the table of published figures, free memory from
the total less what is held, the limit of an Apple GPU from its memory.
"""

from __future__ import annotations

import difflib
import hashlib
import tomllib
from importlib.resources import files
from pathlib import Path

import msgspec

from hostler.config.quantities import Bytes, decode, encode
from hostler.errors import ConfigError
from hostler.hardware import apple, known
from hostler.hardware.facts import HOST, Cpu, Device, Figure, Kind, Machine, NumaNode, PcieLink, Price, RateType

_LARGEST_FILE = 2**20
_LARGEST_RATE = 1e9  # far beyond any device, in the units of the file; finite, so that figures stay numbers
_LARGEST_CLOCK = 100.0


class _Size(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    value: Bytes
    source: str


class _Number(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``value`` is in the unit that the key says."""

    value: float
    source: str


class _Link(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    generation: int
    width: int
    source: str


class _DescribedDevice(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    kind: Kind
    memory: _Size
    name: str = ""
    id: str = ""
    held: _Size | None = None
    limit: _Size | None = None
    bandwidth_gb_s: _Number | None = None
    f32_tflops: _Number | None = None
    f16_tflops: _Number | None = None
    int8_tops: _Number | None = None
    pcie: _Link | None = None
    cores: int | None = None
    display: bool = False
    unified: bool = False
    target: str = ""
    compute_capability: str = ""
    driver: str = ""


class _DescribedCpu(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    model: str
    cores: int
    threads: int | None = None
    efficiency_cores: int = 0
    flags: tuple[str, ...] = ()
    clock_ghz: _Number | None = None
    source: str = ""


class _Described(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    name: str
    cpu: _DescribedCpu
    devices: tuple[_DescribedDevice, ...]
    description: str = ""
    disk_gb_s: _Number | None = None
    price: Price | None = None
    numa: tuple[NumaNode, ...] = ()


def names() -> tuple[str, ...]:
    """The machines that come with Hostler."""
    folder = files("hostler.hardware") / "machines"
    return tuple(sorted(entry.name[:-5] for entry in folder.iterdir() if entry.name.endswith(".toml")))


def load(name_or_path: str) -> Machine:
    """A shipped machine by its name, else the description in that file.

    Raises ConfigError: no such thing, or which key of the file is wrong.
    """
    if name_or_path in names():
        text = (files("hostler.hardware") / "machines" / f"{name_or_path}.toml").read_text("utf-8")
        return parse(text, name_or_path)
    path = Path(name_or_path).expanduser()
    hint = f"Name a file, or one of: {', '.join(names())}."
    try:
        if path.is_file() and path.stat().st_size > _LARGEST_FILE:
            raise ConfigError(f"{path}: too large for a machine's description.", hint=hint)
        return parse(path.read_text("utf-8"), str(path))
    except FileNotFoundError:
        near = difflib.get_close_matches(name_or_path, names(), n=1, cutoff=0.4)
        meant = f" Did you mean {near[0]}?" if near else ""
        raise ConfigError(f"There is no machine {name_or_path!r}.{meant}", hint=hint) from None
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}.", hint=hint) from error


def parse(text: str, where: str) -> Machine:
    """The machine that ``text`` (TOML) describes; ConfigError names ``where`` and the key."""
    try:
        described = msgspec.convert(tomllib.loads(text), _Described, dec_hook=decode)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{where}: not valid TOML: {error}.", hint="Correct it.") from error
    except msgspec.ValidationError as error:
        raise ConfigError(f"{where}: {error}.", hint="`hostler hardware --help` says where examples are.") from error
    if problem := _problem(described):
        raise ConfigError(f"{where}: {problem}.", hint="Correct it.")
    return _machine(described)


def _problem(described: _Described) -> str:
    """What is wrong beyond types; empty when nothing is."""
    kinds = [device.kind for device in described.devices]
    if kinds.count(HOST) != 1:
        return 'a machine has exactly one device of kind "host"'
    shown = (
        described.name,
        described.description,
        *(text for each in described.devices for text in (each.name, each.id)),
    )
    if not described.name.strip() or not all(text.isprintable() for text in shown):
        return "a machine has a name, and its texts are one printable line each"
    if described.disk_gb_s is not None and not 0 < described.disk_gb_s.value < _LARGEST_RATE:
        return "disk_gb_s must be more than 0"
    if described.price is not None and not 0 <= described.price.amount < _LARGEST_RATE:
        return "a price is 0 or more"
    ids = [_identity(device, number) for number, device in enumerate(_gpus_first(described))]
    if len(set(ids)) != len(ids):
        return "two devices have the same id"
    problems = (*map(_problem_of_device, described.devices), _problem_of_cpu(described.cpu))
    return next(filter(None, problems), "")


def _problem_of_device(device: _DescribedDevice) -> str:
    name = device.name or device.kind
    if device.memory.value == 0:
        return f"the memory of {name} must be more than 0"
    if device.held is not None and device.held.value > device.memory.value:
        return f"{name} cannot hold more than its memory"
    if device.limit is not None and not 0 < device.limit.value <= device.memory.value:
        return f"the limit of {name} is within its memory"
    figures = (device.bandwidth_gb_s, device.f32_tflops, device.f16_tflops, device.int8_tops)
    if any(figure is not None and not 0 < figure.value < _LARGEST_RATE for figure in figures):
        return f"bandwidth and rates of {name} must be more than 0"
    if device.pcie is not None and not (0 < device.pcie.generation < 10 and 0 < device.pcie.width <= 32):
        return f"PCIe of {name} has a generation from 1 to 9, and 1 to 32 lanes"
    if device.cores is not None and device.cores < 1:
        return f"{name} has at least one core"
    return ""


def _problem_of_cpu(cpu: _DescribedCpu) -> str:
    if cpu.cores < 1:
        return "a processor has at least one core"
    if cpu.threads is not None and cpu.threads < 1:
        return "a processor has at least one thread"
    if not 0 <= cpu.efficiency_cores < cpu.cores:
        return "at least one core is no efficiency core"
    if cpu.clock_ghz is not None and not 0 < cpu.clock_ghz.value < _LARGEST_CLOCK:
        return "clock_ghz must be more than 0, and is in GHz"
    return ""


def _gpus_first(described: _Described) -> list[_DescribedDevice]:
    return sorted(described.devices, key=lambda device: device.kind == HOST)


def _identity(device: _DescribedDevice, number: int) -> str:
    return HOST if device.kind == HOST else device.id or f"gpu{number}"


def _machine(described: _Described) -> Machine:
    cpu = described.cpu
    clock = Figure(cpu.clock_ghz.value * 1e9, cpu.clock_ghz.source) if cpu.clock_ghz else None
    disk = described.disk_gb_s
    return Machine(
        name=described.name,
        description=described.description,
        described=True,
        devices=tuple(_device(device, number) for number, device in enumerate(_gpus_first(described))),
        cpu=Cpu(
            model=cpu.model,
            cores=cpu.cores,
            threads=cpu.threads or cpu.cores,
            efficiency_cores=cpu.efficiency_cores,
            flags=cpu.flags,
            clock=clock,
        ),
        numa=described.numa,
        disk=Figure(disk.value * 1e9, disk.source) if disk else None,
        price=described.price,
        fingerprint=hashlib.sha256(msgspec.json.encode(described, enc_hook=encode)).hexdigest()[:16],
    )


def _device(given: _DescribedDevice, number: int) -> Device:
    held = given.held.value if given.held else 0
    total = int(given.memory.value)
    bandwidth, rates = _figures(given, total)
    return Device(
        id=_identity(given, number),
        kind=given.kind,
        name=given.name or given.kind,
        total=total,
        free=total - held,
        foreign=int(held),
        bandwidth=bandwidth,
        rates=rates,
        unified=given.unified or given.kind == "apple",
        limit=_limit(given, total),
        display=given.display,
        target=given.target or _target(given.compute_capability),
        compute_capability=_capability(given.compute_capability),
        pcie=_pcie(given.pcie),
        cores=given.cores,
        driver=given.driver,
        sources=_sources(given),
    )


def _figures(given: _DescribedDevice, total: int) -> tuple[Figure | None, dict[RateType, Figure]]:
    """Bandwidth and rates: what is given, else what is published of the name."""
    found = None if given.kind == HOST else known.published(given.name, total, given.cores)
    rates: dict[RateType, Figure] = dict(found.rates) if found else {}
    told: tuple[tuple[RateType, _Number | None], ...] = (
        ("f32", given.f32_tflops),
        ("f16", given.f16_tflops),
        ("int8", given.int8_tops),
    )
    rates |= {kind: Figure(figure.value * 1e12, figure.source) for kind, figure in told if figure}
    own = given.bandwidth_gb_s
    if own is not None:
        return Figure(own.value * 1e9, own.source), rates
    return (found.bandwidth if found else None), rates


def _limit(given: _DescribedDevice, total: int) -> int | None:
    if given.limit is not None:
        return int(given.limit.value)
    return apple.default_limit(total) if given.kind == "apple" else None


def _capability(text: str) -> tuple[int, int] | None:
    major, _, minor = text.partition(".")
    return (int(major), int(minor)) if major.isdigit() and minor.isdigit() else None


def _target(capability: str) -> str:
    return f"sm_{capability.replace('.', '')}" if capability else ""


def _pcie(link: _Link | None) -> PcieLink | None:
    if link is None:
        return None
    return PcieLink(generation=link.generation, width=link.width, max_generation=link.generation, max_width=link.width)


def _sources(given: _DescribedDevice) -> dict[str, str]:
    said = {"total": given.memory.source}
    if given.held:
        said["foreign"] = given.held.source
    if given.limit:
        said["limit"] = given.limit.source
    if given.pcie:
        said["pcie"] = given.pcie.source
    return said
