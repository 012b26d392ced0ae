"""What engines call our GPUs."""

from __future__ import annotations

from msgspec.structs import replace

from hostler.engines.commands.devicenames import engine_names
from hostler.hardware import machines
from hostler.hardware.facts import Device, Machine

TWO = machines.load("rtx4090-5070ti")


def _mixed() -> Machine:
    amd = Device(id="gpu2", kind="amd", name="AMD Radeon RX 7900 XTX", total=24 * 2**30, free=24 * 2**30)
    return replace(TWO, devices=(*TWO.gpus, amd, TWO.host))


def test_cuda_counts_as_the_bus_does() -> None:
    assert engine_names(TWO, ("CUDA0", "CUDA1"), {}) == {"gpu0": "CUDA0", "gpu1": "CUDA1"}


def test_a_build_without_gpus_can_use_none() -> None:
    assert engine_names(TWO, (), {}) == {}
    assert engine_names(machines.load("cpu-2core"), ("CUDA0",), {}) == {}


def test_hidden_cards_are_not_there_and_the_others_are_counted_anew() -> None:
    assert engine_names(TWO, ("CUDA0",), {"CUDA_VISIBLE_DEVICES": "1"}) == {"gpu1": "CUDA0"}
    assert engine_names(TWO, ("CUDA0", "CUDA1"), {"CUDA_VISIBLE_DEVICES": "1,0"}) == {"gpu0": "CUDA1", "gpu1": "CUDA0"}
    assert engine_names(TWO, ("CUDA0",), {"CUDA_VISIBLE_DEVICES": "-1,0"}) == {}
    assert engine_names(TWO, (), {"CUDA_VISIBLE_DEVICES": ""}) == {}


def test_a_card_may_be_named_by_its_uuid() -> None:
    devices = tuple(replace(device, uuid=f"GPU-{device.id}-123") for device in TWO.devices)
    named = replace(TWO, devices=devices)
    assert engine_names(named, ("CUDA0",), {"CUDA_VISIBLE_DEVICES": "GPU-gpu1"}) == {"gpu1": "CUDA0"}


def test_makers_are_counted_apart_but_not_by_vulkan() -> None:
    mixed = _mixed()
    assert engine_names(mixed, ("ROCm0", "CUDA0", "CUDA1"), {}) == {"gpu0": "CUDA0", "gpu1": "CUDA1", "gpu2": "ROCm0"}
    assert engine_names(mixed, ("Vulkan0", "Vulkan1", "Vulkan2"), {})["gpu2"] == "Vulkan2"
    assert engine_names(mixed, ("CUDA0", "CUDA1", "Vulkan0", "Vulkan1", "Vulkan2"), {}) == {
        "gpu0": "CUDA0", "gpu1": "CUDA1", "gpu2": "Vulkan2",
    }  # fmt: skip


def test_a_mac_has_one_whatever_the_build_calls_it() -> None:
    mac = machines.load("m4-max-64gb")
    assert engine_names(mac, ("MTL0",), {}) == {"gpu0": "MTL0"}
    assert engine_names(mac, ("Metal",), {}) == {"gpu0": "Metal"}
