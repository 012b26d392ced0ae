"""Whether driver, kernel modules, CUDA toolkit and NVIDIA GPUs go together."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from hostler.cli.doctor.drivers import driver_version
from hostler.cli.doctor.findings import Finding, Ground, ok, problem, warn
from hostler.hardware.compatibility import Installed, Modules, Version, advise, newest_cuda, version, written
from hostler.hardware.facts import Absence, Device

CHECK = "cuda"
_VENDOR = "0x10de"
# Display controllers (VGA, 3D) by PCI class; the sound device of a card has another.
_CLASSES = ("0x0300", "0x0302")


class _Release(msgspec.Struct, frozen=True):
    version: str = ""


class _Toolkit(msgspec.Struct, frozen=True):
    cuda: _Release = _Release()


def check(_ground: Ground) -> Iterator[Finding]:
    """What does not go together; one line when everything does; nothing without an NVIDIA GPU."""
    from hostler.hardware.inspection import inspect

    machine = inspect()
    yield from told(machine.gpus, installed(), unusable(machine.absent))


def unusable(absent: tuple[Absence, ...]) -> list[str]:
    """Why NVIDIA's GPUs that are there cannot be used, one reason for each."""
    return [each.reason for each in absent if each.probe == "nvidia" and each.device]


def told(devices: tuple[Device, ...], there: Installed, lost: Sequence[str] = ()) -> Iterator[Finding]:
    """The findings for these devices, and for those that are ``lost`` for a reason."""
    for reason in lost:
        yield warn(CHECK, f"{reason}.", "Plans leave it out.")
    advice = list(advise(devices, there, len(lost)))
    for each in advice:
        yield (warn if each.works else problem)(CHECK, each.message, each.hint)
    cards = [device for device in devices if device.kind == "nvidia"]
    newest = newest_cuda(version(there.driver))
    if cards and not advice and newest:
        named = ", ".join(dict.fromkeys(f"{card.name} ({card.target})" for card in cards))
        yield ok(CHECK, f"Driver {there.driver} serves {named} with CUDA up to {written(newest)}.")


def installed(root: Path = Path("/")) -> Installed:
    """What is on this machine, by a few file reads; ``root`` is where /proc, /sys and /usr are looked for."""
    file = root / "proc/driver/nvidia/version"
    return Installed(
        driver=driver_version(file) or "", modules=_modules(file), toolkit=_toolkit(root), pci=tuple(_on_bus(root))
    )


def _modules(file: Path) -> Modules:
    text = _text(file)
    if not text:
        return ""
    return "open" if "Open Kernel Module" in text else "proprietary"


def _toolkit(root: Path) -> Version | None:
    """Of the `nvcc` on PATH, else of the usual folder; None without one, or one that does not say."""
    nvcc = shutil.which("nvcc") if root == Path("/") else None
    folders = [Path(os.path.realpath(nvcc)).parent.parent] if nvcc else []
    for folder in [*folders, root / "usr/local/cuda"]:
        try:
            found = version(msgspec.json.decode(_text(folder / "version.json"), type=_Toolkit).cuda.version)
        except msgspec.MsgspecError:
            continue
        if found:
            return found[:2]
    return None


def _on_bus(root: Path) -> Iterator[int]:
    """The device numbers of NVIDIA's GPUs."""
    for folder in sorted((root / "sys/bus/pci/devices").glob("*")):
        if _text(folder / "vendor") == _VENDOR and _text(folder / "class").startswith(_CLASSES):
            number = _text(folder / "device").removeprefix("0x")
            if len(number) == 4 and all(digit in "0123456789abcdef" for digit in number):
                yield int(number, 16)


def _text(file: Path) -> str:
    try:
        return file.read_text("utf-8", "replace").strip()
    except OSError:
        return ""
