"""AMD GPUs, from folders laid out as the kernel's amdgpu driver documents them."""

from __future__ import annotations

from pathlib import Path

from hostler.hardware.amd import Amd
from hostler.hardware.facts import PcieLink

GIB = 2**30
CARD = {
    "vendor": "0x1002",
    "device": "0x744c",
    "revision": "0xc8",
    "uevent": "DRIVER=amdgpu\nPCI_CLASS=30000\nPCI_SLOT_NAME=0000:03:00.0",
    "mem_info_vram_total": str(24 * GIB),
    "mem_info_vram_used": str(2 * GIB),
    "mem_info_gtt_total": str(15 * GIB),
    "mem_info_gtt_used": "0",
    "current_link_speed": "2.5 GT/s PCIe",
    "current_link_width": "16",
    "max_link_speed": "16.0 GT/s PCIe",
    "max_link_width": "16",
    "gpu_busy_percent": "42",
    "unique_id": "8f1c2d3e4f5a6b7c",
    "hwmon/hwmon4/temp1_input": "51000",
    "hwmon/hwmon4/power1_average": "187000000",
    "hwmon/hwmon4/freq1_input": "2304000000",
    "hwmon/hwmon4/freq2_input": "1249000000",
}
NODE = "cpu_cores_count 0\nsimd_count 192\ngfx_target_version {version}\nlocation_id {location}\ndomain 0\n"


def machine(root: Path, **cards: dict[str, str]) -> Path:
    for name, files in cards.items():
        for file, text in files.items():
            path = root / "sys/class/drm" / name / "device" / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{text}\n")
    return root


def node(root: Path, number: int, version: int, location: int) -> None:
    path = root / f"sys/class/kfd/kfd/topology/nodes/{number}/properties"
    path.parent.mkdir(parents=True)
    path.write_text(NODE.format(version=version, location=location))


def test_a_card(tmp_path: Path) -> None:
    root = machine(tmp_path, card1=CARD)
    node(root, 0, 0, 0)
    node(root, 1, 110000, 3 << 8)
    connector = root / "sys/class/drm/card1-DP-2"
    connector.mkdir()
    (connector / "status").write_text("connected\n")
    (gpu,), absent = Amd(root).devices()
    assert absent == []
    assert (gpu.id, gpu.kind, gpu.name, gpu.target) == ("gpu0", "amd", "AMD Radeon RX 7900 XTX", "gfx1100")
    assert (gpu.total, gpu.free, gpu.foreign) == (24 * GIB, 22 * GIB, 2 * GIB)
    assert gpu.pcie == PcieLink(generation=1, width=16, max_generation=4, max_width=16)
    assert gpu.bandwidth is not None
    assert gpu.bandwidth.value == 960e9
    assert gpu.display


def test_names_of_targets_are_hexadecimal(tmp_path: Path) -> None:
    root = machine(tmp_path, card0=CARD | {"device": "0x740f", "product_name": "AMD Instinct MI210"})
    node(root, 2, 90010, 3 << 8)
    (gpu,), _ = Amd(root, first=2).devices()
    assert (gpu.id, gpu.target, gpu.name) == ("gpu2", "gfx90a", "AMD Instinct MI210")


def test_a_gpu_inside_the_processor_shares_its_memory(tmp_path: Path) -> None:
    inside = CARD | {"device": "0x1586", "mem_info_vram_total": str(GIB // 2), "mem_info_vram_used": str(GIB // 4)}
    (gpu,), _ = Amd(machine(tmp_path, card0=inside)).devices()
    assert gpu.unified
    assert (gpu.total, gpu.free, gpu.pcie) == (15 * GIB + GIB // 2, 15 * GIB + GIB // 4, None)


def test_cards_are_in_the_order_of_the_bus(tmp_path: Path) -> None:
    later = CARD | {"uevent": "PCI_SLOT_NAME=0000:0a:00.0", "device": "0x7550", "revision": "0xc0"}
    root = machine(tmp_path, card0=later, card1=CARD, card2={"vendor": "0x10de"})
    assert [gpu.name for gpu in Amd(root).devices()[0]] == ["AMD Radeon RX 7900 XTX", "AMD Radeon RX 9070 XT"]


def test_no_card_and_a_card_without_its_driver(tmp_path: Path) -> None:
    gpus, (absence,) = Amd(tmp_path).devices()
    assert (gpus, absence.reason) == ([], "no AMD GPU is visible under /sys/class/drm")
    root = machine(tmp_path, card0={"vendor": "0x1002", "device": "0x744c", "revision": "0xcc"})
    gpus, (absence,) = Amd(root).devices()
    assert gpus == []
    assert "RX 7900 XT" in absence.reason


def test_a_reading_and_a_card_that_disappears(tmp_path: Path) -> None:
    root = machine(tmp_path, card0=CARD)
    probe = Amd(root)
    readings, lost = probe.read()
    now = readings["gpu0"]
    assert lost == {}
    assert (now.utilisation, now.used, now.temperature_c, now.power_w) == (42, 2 * GIB, 51.0, 187.0)
    assert (now.clock_mhz, now.memory_clock_mhz) == (2304, 1249)
    (root / "sys/class/drm/card0/device/mem_info_vram_total").unlink()
    assert probe.read() == ({}, {"gpu0": "the kernel no longer shows it"})


def test_nonsense_in_the_files_is_no_figure(tmp_path: Path) -> None:
    odd = CARD | {"gpu_busy_percent": "busy", "hwmon/hwmon4/temp1_input": "", "current_link_speed": "Unknown"}
    probe = Amd(machine(tmp_path, card0=odd))
    (gpu,), _ = probe.devices()
    assert gpu.pcie is None
    now = probe.read()[0]["gpu0"]
    assert (now.utilisation, now.temperature_c) == (None, None)
