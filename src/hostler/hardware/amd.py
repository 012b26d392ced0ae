"""AMD GPUs, from what the kernel's amdgpu driver shows under /sys; a few small file reads.

The driver's own tool (amdsmi) reads the same files; without it nothing has to be installed.
"""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Final

from hostler.hardware import known
from hostler.hardware.facts import Absence, Device, PcieLink
from hostler.wire.hardware import Reading

_VENDOR = "0x1002"
_GENERATION: Final = {"2.5": 1, "5.0": 2, "5": 2, "8.0": 3, "16.0": 4, "32.0": 5, "64.0": 6}
# PCI device, and revision where one chip is sold under several names (libdrm, amdgpu.ids).
_NAMES: Final = {
    ("738c", ""): "AMD Instinct MI100",
    ("740f", ""): "AMD Instinct MI210",
    ("74a1", ""): "AMD Instinct MI300X",
    ("73df", "c1"): "AMD Radeon RX 6700 XT",
    ("73bf", "c3"): "AMD Radeon RX 6800",
    ("73bf", "c1"): "AMD Radeon RX 6800 XT",
    ("73bf", "c0"): "AMD Radeon RX 6900 XT",
    ("73a5", "c0"): "AMD Radeon RX 6950 XT",
    ("7480", "cf"): "AMD Radeon RX 7600",
    ("7480", "c0"): "AMD Radeon RX 7600 XT",
    ("747e", "ff"): "AMD Radeon RX 7700 XT",
    ("747e", "c8"): "AMD Radeon RX 7800 XT",
    ("744c", "c8"): "AMD Radeon RX 7900 XTX",
    ("744c", "cc"): "AMD Radeon RX 7900 XT",
    ("744c", "ce"): "AMD Radeon RX 7900 GRE",
    ("7448", "00"): "AMD Radeon PRO W7900",
    ("745e", "cc"): "AMD Radeon PRO W7800",
    ("7550", "c0"): "AMD Radeon RX 9070 XT",
    ("7550", "c3"): "AMD Radeon RX 9070",
    ("7551", "c0"): "AMD Radeon AI PRO R9700",
    ("1586", ""): "AMD Radeon 8060S",
    ("150e", ""): "AMD Radeon 890M",
    ("15bf", ""): "AMD Radeon 780M",
    ("1681", ""): "AMD Radeon 680M",
    ("164e", ""): "AMD Radeon Graphics (Raphael)",
    ("1638", ""): "AMD Radeon Graphics (Cezanne)",
}
# GPUs inside a processor: their memory is the host's.
_INSIDE: Final = {"1586", "150e", "15bf", "1681", "164e", "1638"}


class Amd:
    """The AMD GPUs of this machine; ``root`` is where /sys is looked for, ``first`` the number of the first GPU."""

    def __init__(self, root: Path = Path("/"), first: int = 0) -> None:
        self._root = root
        self._first = first
        self._cards: dict[str, Path] | None = None

    def devices(self) -> tuple[list[Device], list[Absence]]:
        """Every GPU, and why others cannot be used."""
        found: list[Device] = []
        absent: list[Absence] = []
        self._cards = None
        for number, card in self._known().items():
            made = _device(self._root, number, card)
            if isinstance(made, Device):
                found.append(made)
            else:
                absent.append(made)
        if not found and not absent:
            absent.append(Absence("amd", "no AMD GPU is visible under /sys/class/drm"))
        return found, absent

    def read(self) -> tuple[dict[str, Reading], dict[str, str]]:
        """A reading of each GPU by its id, and the reason of each that is gone."""
        readings: dict[str, Reading] = {}
        lost: dict[str, str] = {}
        for number, card in self._known().items():
            if _number(card / "mem_info_vram_total") is None:
                lost[number] = "the kernel no longer shows it"
            else:
                readings[number] = _reading(card)
        return readings, lost

    def close(self) -> None:
        """Nothing is held open."""

    def _known(self) -> dict[str, Path]:
        if self._cards is None:
            folder = self._root / "sys/class/drm"
            cards = [path / "device" for path in folder.glob("card*") if re.fullmatch(r"card\d+", path.name)]
            ours = [card for card in cards if _text(card / "vendor") == _VENDOR]
            ours.sort(key=lambda card: (_slot(card), str(card)))
            self._cards = {f"gpu{self._first + index}": card for index, card in enumerate(ours)}
        return self._cards


def _device(root: Path, number: str, card: Path) -> Device | Absence:
    chip = _text(card / "device").removeprefix("0x")
    name = _name(card, chip)
    vram, used = _number(card / "mem_info_vram_total"), _number(card / "mem_info_vram_used")
    if vram is None or used is None:
        return Absence("amd", f"{number} ({name}): the amdgpu driver does not show its memory; is it loaded?", number)
    unified = chip in _INSIDE
    borrowed = (_number(card / "mem_info_gtt_total") or 0) if unified else 0
    borrowed_used = (_number(card / "mem_info_gtt_used") or 0) if unified else 0
    total, free = vram + borrowed, max(0, vram + borrowed - used - borrowed_used)
    found = known.published(name, total)
    return Device(
        id=number,
        kind="amd",
        name=name,
        total=total,
        free=free,
        foreign=total - free,
        bandwidth=found.bandwidth if found else None,
        rates=found.rates if found else {},
        unified=unified,
        limit=total if unified else None,
        display=_display(card),
        target=_target(root, _slot(card)),
        pcie=None if unified else _pcie(card),
        driver=f"amdgpu {_text(root / 'sys/module/amdgpu/version')}".strip(),
        uuid=_text(card / "unique_id"),
        sources={"total": "amdgpu: memory of its own and what it may borrow" if unified else "amdgpu"},
    )


def _name(card: Path, chip: str) -> str:
    revision = _text(card / "revision").removeprefix("0x")
    told = _text(card / "product_name")
    return told or _NAMES.get((chip, revision)) or _NAMES.get((chip, "")) or f"AMD GPU {chip}:{revision}"


def _slot(card: Path) -> str:
    """``0000:03:00.0``; empty when the kernel does not say."""
    match = re.search(r"^PCI_SLOT_NAME=(\S+)$", _text(card / "uevent"), re.MULTILINE)
    return match[1] if match else ""


def _target(root: Path, slot: str) -> str:
    """``gfx1100``, from the compute driver's list of nodes; empty without it."""
    match = re.fullmatch(r"[0-9a-f]+:([0-9a-f]{2}):([0-9a-f]{2})\.([0-7])", slot)
    if not match:
        return ""
    location = int(match[1], 16) << 8 | int(match[2], 16) << 3 | int(match[3])
    for file in (root / "sys/class/kfd/kfd/topology/nodes").glob("*/properties"):
        fields = dict(line.split(None, 1) for line in _text(file).splitlines() if " " in line)
        version = fields.get("gfx_target_version", "")
        if fields.get("location_id") == str(location) and version.isdecimal() and int(version):
            return f"gfx{int(version) // 10000}{int(version) // 100 % 100:x}{int(version) % 100:x}"
    return ""


def _display(card: Path) -> bool:
    """Whether a screen hangs on one of its connectors."""
    connectors = card.parent.parent.glob(f"{card.parent.name}-*/status")
    return any(_text(status) == "connected" for status in connectors)


def _pcie(card: Path) -> PcieLink | None:
    now = _generation(card / "current_link_speed"), _number(card / "current_link_width")
    most = _generation(card / "max_link_speed"), _number(card / "max_link_width")
    if not now[0] or not now[1]:
        return None
    return PcieLink(generation=now[0], width=now[1], max_generation=most[0] or now[0], max_width=most[1] or now[1])


def _generation(file: Path) -> int | None:
    """From ``16.0 GT/s PCIe``."""
    return _GENERATION.get(_text(file).partition(" ")[0])


def _reading(card: Path) -> Reading:
    sensors = next(iter(sorted((card / "hwmon").glob("hwmon*"))), card / "hwmon")
    temperature, clock = _number(sensors / "temp1_input"), _number(sensors / "freq1_input")
    power = _number(sensors / "power1_average") or _number(sensors / "power1_input")
    memory_clock = _number(sensors / "freq2_input")
    return Reading(
        at=time.time(),
        utilisation=_number(card / "gpu_busy_percent"),
        used=_number(card / "mem_info_vram_used"),
        temperature_c=None if temperature is None else temperature / 1000,
        power_w=None if power is None else power / 1e6,
        clock_mhz=None if clock is None else clock / 1e6,
        memory_clock_mhz=None if memory_clock is None else memory_clock / 1e6,
    )


def _number(file: Path) -> int | None:
    text = _text(file)
    return int(text) if text.isdecimal() and len(text) < 20 else None


def _text(file: Path) -> str:
    """The file without its line end; empty when it cannot be read (the driver answers errors at times)."""
    try:
        return file.read_text("utf-8", "replace").strip()
    except OSError:
        return ""
