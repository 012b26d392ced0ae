"""What goes with what on NVIDIA: driver, CUDA toolkit, kernel modules, compute capability. Pure.

Sources: CUDA Toolkit release notes, "CUDA Toolkit and Corresponding Driver Versions" and the notes on architectures
per release; NVIDIA's driver README on the open kernel modules (required from Blackwell on, unfit for cards before
Turing).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

import msgspec

from hostler.hardware.facts import Device

Version = tuple[int, ...]
Modules = Literal["open", "proprietary", ""]

# CUDA toolkit: the first Linux driver that comes with it.
FIRST_DRIVER: dict[Version, Version] = {
    (11, 8): (520, 61, 5),
    (12, 0): (525, 60, 13),
    (12, 1): (530, 30, 2),
    (12, 2): (535, 54, 3),
    (12, 3): (545, 23, 6),
    (12, 4): (550, 54, 14),
    (12, 5): (555, 42, 2),
    (12, 6): (560, 28, 3),
    (12, 8): (570, 26),
    (12, 9): (575, 51, 3),
    (13, 0): (580, 65, 6),
}
# Compute capability: the first toolkit that compiles for it; what lies between goes with the one below.
_FIRST_CUDA: dict[tuple[int, int], Version] = {
    (12, 1): (12, 9),
    (12, 0): (12, 8),
    (10, 3): (12, 9),
    (10, 0): (12, 8),
    (9, 0): (11, 8),
    (8, 9): (11, 8),
    (0, 0): (11, 0),
}
_TURING = (7, 5)
_BLACKWELL = (10, 0)
# The last branch of drivers for cards before Turing.
_LAST_FOR_OLD = 580
_LAST_CUDA_FOR_OLD = 12
# PCI device numbers: Turing begins at 1e00, Blackwell fills 2900 to 31ff.
_TURING_FROM = 0x1E00
_BLACKWELL_IDS = range(0x2900, 0x3200)


class Advice(msgspec.Struct, frozen=True):
    """What is wrong, what to do, and whether it works at all."""

    works: bool
    message: str
    hint: str


class Installed(msgspec.Struct, frozen=True, kw_only=True):
    """What is there: the driver's version as it says it, its kernel modules, the toolkit if any.

    ``pci`` are the device numbers of NVIDIA's graphics and compute devices on the bus, whether a driver serves
    them or not.
    """

    driver: str = ""
    modules: Modules = ""
    toolkit: Version | None = None
    pci: tuple[int, ...] = ()


def version(text: str) -> Version:
    """``580.95.05`` as numbers; empty when it is none."""
    parts = text.strip().split(".")
    return tuple(map(int, parts)) if all(part.isdecimal() for part in parts) else ()


def written(numbers: Version) -> str:
    """As NVIDIA writes it: ``12.8``, ``580.65.06``."""
    return ".".join(f"{number:02}" if place == 2 else str(number) for place, number in enumerate(numbers))


def first_cuda(capability: tuple[int, int]) -> Version:
    """The first toolkit that compiles for ``capability``."""
    return next(cuda for known, cuda in _FIRST_CUDA.items() if capability >= known)


def newest_cuda(driver: Version) -> Version | None:
    """The newest toolkit that comes with ``driver`` or an older one; None for drivers before 520."""
    return max((cuda for cuda, first in FIRST_DRIVER.items() if driver >= first), default=None)


def advise(devices: Sequence[Device], installed: Installed, unusable: int = 0) -> Iterator[Advice]:
    """Everything that does not go together. ``unusable`` devices are shown by the driver but not among ``devices``.

    1. A device on the bus that the driver does not show: no driver, or the wrong kernel modules for it. 2. A
    driver too old for a device. 3. A toolkit too old, or too new, for a device. 4. A toolkit newer than the driver.
    """
    cards = [device for device in devices if device.kind == "nvidia"]
    if len(cards) + unusable < len(installed.pci):  # 1
        yield from _hidden(installed, some_shown=bool(cards or unusable))
    driver = version(installed.driver)
    for card in cards:
        if card.compute_capability is not None:
            if driver:
                yield from _driver(card, card.compute_capability, driver)  # 2
            if installed.toolkit:
                yield from _toolkit(card, card.compute_capability, installed.toolkit)  # 3
    if cards and driver and installed.toolkit:
        yield from _pair(driver, installed.toolkit)  # 4


def _hidden(installed: Installed, *, some_shown: bool) -> Iterator[Advice]:
    """Why a device on the bus is not shown. Nothing here is a failure: engines run on what is left."""
    new = [number for number in installed.pci if number in _BLACKWELL_IDS]
    old = [number for number in installed.pci if number < _TURING_FROM]
    if not installed.driver:
        told = "1 NVIDIA GPU" if len(installed.pci) == 1 else f"{len(installed.pci)} NVIDIA GPUs"
        hint = f"Install NVIDIA's driver{', 570 or newer, with the open kernel modules' if new else ''}, and restart."
        yield Advice(True, f"{told} on the bus, but NVIDIA's driver is not loaded.", hint)
    elif new and installed.modules == "proprietary":
        message = f"A Blackwell GPU needs the open kernel modules; driver {installed.driver} runs the proprietary ones."
        yield Advice(True, message, "Install the driver's open variant (Ubuntu: nvidia-driver-580-open), and restart.")
    elif new and version(installed.driver) < FIRST_DRIVER[12, 8]:
        message = f"A Blackwell GPU needs driver 570.26 or newer; {installed.driver} does not show it."
        yield Advice(True, message, "Install driver 580 with the open kernel modules, and restart.")
    elif old and installed.modules == "open":
        message = "A GPU from before Turing needs the proprietary kernel modules; the open ones do not show it."
        yield Advice(True, message, "Install the driver's proprietary variant, 580 or older, and restart.")
    elif not some_shown:  # a container sees the bus of its host, and only those cards that it was given
        message = f"Driver {installed.driver} does not show every NVIDIA GPU on the bus ({len(installed.pci)})."
        yield Advice(True, message, "The kernel's log says why: sudo dmesg | grep -i nvrm.")


def _driver(card: Device, capability: tuple[int, int], driver: Version) -> Iterator[Advice]:
    needed, newest = first_cuda(capability), newest_cuda(driver)
    if newest is None or newest < needed:
        first = FIRST_DRIVER.get(needed, (520, 61, 5))
        up_to = f"goes up to CUDA {written(newest)}" if newest else "is older than CUDA 11.8"
        message = f"{card.name} ({card.target}) needs CUDA {written(needed)} or newer; driver {card.driver} {up_to}."
        hint = f"Install driver {written(first)} or newer (580.65.06 or newer for CUDA 13)."
        yield Advice(False, message, hint)
    if capability < _TURING and driver[0] > _LAST_FOR_OLD:
        message = f"{card.name} ({card.target}) is not served by driver {card.driver}; 580 is the last branch for it."
        yield Advice(False, message, "Install driver 580.")


def _toolkit(card: Device, capability: tuple[int, int], toolkit: Version) -> Iterator[Advice]:
    needed = first_cuda(capability)
    if toolkit < needed:
        message = f"CUDA toolkit {written(toolkit)} cannot compile for {card.name} ({card.target})."
        yield Advice(True, message, f"Builds for it need CUDA {written(needed)} or newer.")
    elif capability < _TURING and toolkit[0] > _LAST_CUDA_FOR_OLD:
        message = f"CUDA toolkit {written(toolkit)} no longer compiles for {card.name} ({card.target})."
        yield Advice(True, message, "Builds for it need CUDA 12.9 or older.")


def _pair(driver: Version, toolkit: Version) -> Iterator[Advice]:
    # Within a major version a driver runs programs of newer toolkits too.
    first = FIRST_DRIVER.get((toolkit[0], 0))
    if first is not None and driver < first:
        message = f"What CUDA toolkit {written(toolkit)} builds needs driver {written(first)} or newer."
        hint = f"Driver {written(driver)} is loaded: install a newer one, or build with CUDA {first_before(driver)}."
        yield Advice(True, message, hint)


def first_before(driver: Version) -> str:
    """The newest toolkit that goes with ``driver``, in words."""
    newest = newest_cuda(driver)
    return f"{written(newest)} or older" if newest else "11"
