"""Driver, kernel modules, CUDA toolkit and compute capability: what goes with what."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostler.cli.doctor.compatibility import installed, told, unusable
from hostler.hardware.compatibility import Installed, Version, advise, first_cuda, newest_cuda, version, written
from hostler.hardware.facts import Absence, Device
from hostler.hardware.machines import load

# Above both: the kernel module's first line as the drivers of that time write it.
OPEN = "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.95.05  Release Build  (dvs-builder)\n"
PROPRIETARY = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.120  Fri Sep 13 10:10:01 UTC 2024\n"
ADA, BLACKWELL = load("rtx4090-5070ti").gpus


def driven(card: Device, driver: str) -> Device:
    return msgspec.structs.replace(card, driver=driver)


def pascal(driver: str) -> Device:
    return msgspec.structs.replace(ADA, name="Tesla P40", compute_capability=(6, 1), target="sm_61", driver=driver)


def test_versions() -> None:
    assert version("580.95.05") == (580, 95, 5)
    assert version("unknown") == ()
    assert (written((580, 65, 6)), written((12, 8))) == ("580.65.06", "12.8")


@pytest.mark.parametrize(
    ("capability", "cuda"),
    [
        ((12, 0), (12, 8)),
        ((12, 1), (12, 9)),
        ((10, 0), (12, 8)),
        ((9, 0), (11, 8)),
        ((8, 9), (11, 8)),
        ((6, 1), (11, 0)),
    ],
)
def test_which_toolkit_a_card_needs(capability: tuple[int, int], cuda: Version) -> None:
    assert first_cuda(capability) == cuda


@pytest.mark.parametrize(
    ("driver", "cuda"),
    [("580.65.06", (13, 0)), ("580.10", (12, 9)), ("570.86.15", (12, 8)), ("550.120", (12, 4)), ("470.256.02", None)],
)
def test_how_far_a_driver_goes(driver: str, cuda: Version | None) -> None:
    assert newest_cuda(version(driver)) == cuda


def test_all_is_well() -> None:
    there = Installed(driver="580.95.05", modules="open", toolkit=(12, 8), pci=(0x2684, 0x2C05))
    cards = (driven(ADA, "580.95.05"), driven(BLACKWELL, "580.95.05"))
    assert list(advise(cards, there)) == []
    (finding,) = told(cards, there)
    assert finding.level == "ok"
    assert "CUDA up to 13.0" in finding.message


def test_nothing_is_said_without_such_a_gpu() -> None:
    assert list(told(load("m2-16gb").gpus, Installed(toolkit=(12, 8)))) == []


def test_a_driver_too_old_for_blackwell() -> None:
    (advice,) = advise([driven(BLACKWELL, "550.120")], Installed(driver="550.120", modules="open"))
    assert "needs CUDA 12.8 or newer; driver 550.120 goes up to CUDA 12.4" in advice.message
    assert "570.26" in advice.hint
    assert not advice.works


@pytest.mark.parametrize(
    ("there", "said"),
    [
        (Installed(pci=(0x2B85,)), "open kernel modules"),
        (Installed(driver="570.86.16", modules="proprietary", pci=(0x2B85,)), "-open"),
        (Installed(driver="550.120", modules="open", pci=(0x2B85,)), "580"),
        (Installed(driver="570.86.16", modules="open", pci=(0x1B38,)), "proprietary"),
        (Installed(driver="580.95.05", modules="open", pci=(0x2684,)), "dmesg"),
    ],
)
def test_a_card_on_the_bus_that_the_driver_does_not_show(there: Installed, said: str) -> None:
    (advice,) = advise([], there)
    assert said in advice.hint
    (finding,) = told((), there)
    assert finding.level == "warn"


def test_a_container_sees_the_bus_of_its_host() -> None:
    there = Installed(driver="580.95.05", modules="open", pci=(0x2684, 0x2684))
    assert list(advise([driven(ADA, "580.95.05")], there)) == []


def test_a_card_that_cannot_be_used_is_told_with_its_reason() -> None:
    there = Installed(driver="580.95.05", modules="open", pci=(0x2330,))
    absent = (Absence("nvidia", "gpu0 (NVIDIA H100) is divided by MIG", "gpu0"), Absence("amd", "no AMD GPU"))
    (finding,) = told((), there, unusable(absent))
    assert finding.message == "gpu0 (NVIDIA H100) is divided by MIG."


def test_cards_from_before_turing() -> None:
    (advice,) = advise([pascal("590.44.01")], Installed(driver="590.44.01"))
    assert "580 is the last" in advice.message
    (advice,) = advise([pascal("580.95.05")], Installed(driver="580.95.05", toolkit=(13, 0)))
    assert "12.9 or older" in advice.hint


def test_a_toolkit_too_old_or_newer_than_the_driver() -> None:
    (advice,) = advise([driven(BLACKWELL, "580.95.05")], Installed(driver="580.95.05", toolkit=(12, 4)))
    assert "sm_120" in advice.message
    assert advice.works
    (advice,) = advise([driven(ADA, "550.120")], Installed(driver="550.120", toolkit=(13, 0)))
    assert "580.65.06" in advice.message
    assert "12.4 or older" in advice.hint
    assert list(advise([driven(ADA, "550.120")], Installed(driver="550.120", toolkit=(12, 8)))) == []


def put(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_what_is_installed(tmp_path: Path) -> None:
    assert installed(tmp_path) == Installed()
    gpu = {"vendor": "0x10de\n", "class": "0x030000\n", "device": "0x2c05\n"}
    sound = {"vendor": "0x10de\n", "class": "0x040300\n", "device": "0x22e9\n"}
    put(tmp_path, {f"sys/bus/pci/devices/0000:01:00.0/{name}": text for name, text in gpu.items()})
    put(tmp_path, {f"sys/bus/pci/devices/0000:01:00.1/{name}": text for name, text in sound.items()})
    put(
        tmp_path, {"proc/driver/nvidia/version": OPEN, "usr/local/cuda/version.json": '{"cuda": {"version": "12.8.1"}}'}
    )
    assert installed(tmp_path) == Installed(driver="580.95.05", modules="open", toolkit=(12, 8), pci=(0x2C05,))
    put(tmp_path, {"proc/driver/nvidia/version": PROPRIETARY, "usr/local/cuda/version.json": "{"})
    assert installed(tmp_path) == Installed(driver="550.120", modules="proprietary", pci=(0x2C05,))


@given(st.text(max_size=20), st.sampled_from(["open", "proprietary", ""]), st.lists(st.integers(0, 0xFFFF), max_size=3))
def test_no_combination_is_too_odd(driver: str, modules: str, pci: list[int]) -> None:
    there = msgspec.convert({"driver": driver, "modules": modules, "toolkit": (12, 8), "pci": tuple(pci)}, Installed)
    for advice in advise([driven(BLACKWELL, driver), pascal(driver)], there):
        assert advice.message
        assert advice.hint
