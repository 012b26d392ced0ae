"""NVIDIA GPUs by NVML: what is read, and that no failure of the driver gets out."""

from __future__ import annotations

from pathlib import Path

import pytest
from fake_nvml import Card, FakeNvml, Memory, NVMLError, Process, is_lost
from hypothesis import given
from hypothesis import strategies as st

from hostler.hardware.facts import PcieLink
from hostler.hardware.host import HostMemory
from hostler.hardware.nvidia import RETRY_READS, Nvidia, Nvml, library

GIB = 2**30
HOST = HostMemory(128 * GIB, 100 * GIB)


def test_the_fake_is_like_the_real_library() -> None:
    """Every call that the protocol names is in nvidia-ml-py, with parameters of the same names."""
    import inspect

    import pynvml

    for name, call in vars(Nvml).items():
        if name.startswith("nvml"):
            real = inspect.signature(getattr(pynvml, name)).parameters
            assert (
                len([p for p in real.values() if p.default is p.empty]) == len(inspect.signature(call).parameters) - 1
            )


def test_a_card() -> None:
    nvml = FakeNvml(Card(processes=[Process(10, 300 * 2**20), Process(11, 100 * 2**20)]))
    (gpu,), absent = Nvidia(nvml).devices(HOST, ours={10})
    assert absent == []
    assert (gpu.id, gpu.kind, gpu.name) == ("gpu0", "nvidia", "NVIDIA GeForce RTX 4090")
    assert (gpu.total, gpu.free, gpu.foreign) == (24564 * 2**20, 24000 * 2**20, 264 * 2**20)
    assert (gpu.target, gpu.compute_capability, gpu.driver) == ("sm_89", (8, 9), "580.95.05")
    assert gpu.pcie == PcieLink(generation=1, width=16, max_generation=4, max_width=16)
    assert gpu.pcie.bandwidth == pytest.approx(31.5e9, rel=0.01)
    assert gpu.bandwidth is not None
    assert gpu.bandwidth.value == 1008e9
    assert not gpu.display
    assert not gpu.unified


def test_a_card_that_nobody_knows_is_reckoned_from_its_clock() -> None:
    (gpu,), _ = Nvidia(FakeNvml(Card(name="NVIDIA GeForce RTX 9999"))).devices(HOST)
    assert gpu.bandwidth is not None
    assert gpu.bandwidth.value == pytest.approx(1008e9, rel=0.001)
    assert "clock" in gpu.bandwidth.source
    assert gpu.rates == {}


def test_unified_memory_is_the_hosts() -> None:
    """GB10 has no memory of its own, and says that asking for it is not supported."""
    spark = Card(name="NVIDIA GB10", capability=(12, 1), without={"memory", "bus"})
    (gpu,), _ = Nvidia(FakeNvml(spark)).devices(HOST)
    assert gpu.unified
    assert (gpu.total, gpu.free, gpu.pcie) == (128 * GIB, 100 * GIB, None)
    assert gpu.bandwidth is not None
    assert gpu.bandwidth.value == 273e9


def test_others_of_a_container_cannot_be_told_apart() -> None:
    nvml = FakeNvml(Card(processes=[Process(10, None)]))
    (gpu,), _ = Nvidia(nvml).devices(HOST, ours={10})
    assert gpu.foreign is None
    (gpu,), _ = Nvidia(FakeNvml(Card(without={"processes"}))).devices(HOST, ours={10})
    assert gpu.foreign is None


def test_a_lost_card_does_not_hide_the_other() -> None:
    nvml = FakeNvml(Card(failing=is_lost()), Card(name="NVIDIA GeForce RTX 5070 Ti", display=True))
    gpus, (absence,) = Nvidia(nvml).devices(HOST)
    assert [(gpu.id, gpu.display) for gpu in gpus] == [("gpu1", True)]
    assert "gpu0" in absence.reason
    assert "lost" in absence.reason


def test_mig_is_refused_with_a_reason() -> None:
    gpus, (absence,) = Nvidia(FakeNvml(Card(mig=(1, 1)))).devices(HOST)
    assert gpus == []
    assert "MIG" in absence.reason


@pytest.mark.parametrize(
    "nvml", [FakeNvml(broken=NVMLError(9, "Driver Not Loaded")), FakeNvml(), "no NVIDIA driver is loaded"]
)
def test_no_driver_is_a_reason(nvml: FakeNvml | str) -> None:
    probe = Nvidia(nvml)
    gpus, (absence,) = probe.devices(HOST)
    assert gpus == []
    assert absence.reason
    assert probe.read() == ({}, {})
    probe.close()


def test_without_a_driver_the_library_is_not_even_imported(tmp_path: Path) -> None:
    assert library([tmp_path / "nvidiactl"]) == "no NVIDIA driver is loaded"
    (tmp_path / "nvidiactl").touch()
    assert not isinstance(library([tmp_path / "nvidiactl"]), str)


def test_a_reading() -> None:
    readings, lost = Nvidia(FakeNvml(Card(throttle=0x01 | 0x04 | 0x20))).read()
    now = readings["gpu0"]
    assert lost == {}
    assert (now.utilisation, now.temperature_c, now.power_w) == (37, 54, 211.4)
    assert (now.clock_mhz, now.memory_clock_mhz, now.used) == (2520, 10501, 564 * 2**20)
    assert now.throttling == ("power limit", "temperature")


def test_what_a_card_does_not_tell_is_none() -> None:
    (now,) = Nvidia(FakeNvml(Card(without={"power", "throttle", "memory"}))).read()[0].values()
    assert (now.power_w, now.throttling, now.used, now.utilisation) == (None, (), None, 37)


def test_a_card_that_disappears_in_the_middle_and_comes_back() -> None:
    card = Card()
    nvml = FakeNvml(card)
    probe = Nvidia(nvml)
    assert list(probe.read()[0]) == ["gpu0"]
    card.failing = is_lost()
    assert probe.read() == ({}, {"gpu0": "GPU is lost"})
    assert nvml.closed == 1
    card.failing = None
    assert [probe.read()[0] for _ in range(RETRY_READS)] == [{}] * RETRY_READS
    assert list(probe.read()[0]) == ["gpu0"]
    assert nvml.opened == 2


def test_one_of_two_that_disappears() -> None:
    lost, stays = Card(), Card(memory=Memory(16 * GIB, GIB))
    nvml = FakeNvml(lost, stays)
    probe = Nvidia(nvml)
    assert list(probe.read()[0]) == ["gpu0", "gpu1"]
    lost.failing = is_lost()
    readings, gone = probe.read()
    assert (list(readings), gone) == (["gpu1"], {"gpu0": "GPU is lost"})
    assert nvml.closed == 0


CALLS = "name uuid memory capability cores bus clock pcie display mig processes utilisation temperature power throttle"


@given(st.lists(st.sets(st.sampled_from(CALLS.split())), max_size=3), st.lists(st.booleans(), min_size=3, max_size=3))
def test_whatever_the_driver_refuses_the_rest_is_told(refused: list[set[str]], lost: list[bool]) -> None:
    cards = [
        Card(without=calls, failing=is_lost() if gone else None) for calls, gone in zip(refused, lost, strict=False)
    ]
    probe = Nvidia(FakeNvml(*cards))
    gpus, absent = probe.devices(HOST, ours={1})
    assert len(gpus) + len(absent) == max(1, len(cards))
    readings, gone = probe.read()
    assert len(readings) + len(gone) == len(cards)
    assert all(reason for reason in gone.values())
