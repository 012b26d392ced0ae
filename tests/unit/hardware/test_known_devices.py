"""The table of published figures, and how a driver's name finds its row."""

from __future__ import annotations

import pytest

from hostler.hardware.known import names, published

GIB = 2**30


@pytest.mark.parametrize("name", names())
def test_every_row_reads(name: str) -> None:
    found = published(name)
    assert found is not None
    assert 50e9 < found.bandwidth.value < 20e12
    assert found.bandwidth.source
    assert found.rates["f32"].value > 1e12
    # No device sums its products faster than it multiplies plain integers.
    assert found.rates.get("f16", found.rates["f32"]).value <= 3e15


@pytest.mark.parametrize(
    ("name", "bandwidth"),
    [
        ("NVIDIA GeForce RTX 4090", 1008),
        ("NVIDIA GeForce RTX 5070 Ti", 896),
        ("NVIDIA H100 80GB HBM3", 3352),
        ("NVIDIA A100-SXM4-80GB", 2039),
        ("NVIDIA GB10", 273),
        ("Tesla T4", 320),
        ("AMD Radeon RX 7900 XTX", 960),
        ("AMD Radeon PRO W7900", 864),
        ("AMD Radeon(TM) 8060S Graphics", 256),
        ("Apple M4 Max", 546),
    ],
)
def test_names_as_drivers_write_them(name: str, bandwidth: float) -> None:
    found = published(name)
    assert found is not None
    assert found.bandwidth.value == pytest.approx(bandwidth * 1e9)


def test_memory_and_cores_tell_cards_of_one_name_apart() -> None:
    small = published("NVIDIA GeForce RTX 3060", memory=8192 * 2**20 - 2**20)
    large = published("NVIDIA GeForce RTX 3060", memory=12288 * 2**20)
    assert small is not None
    assert large is not None
    assert (small.bandwidth.value, large.bandwidth.value) == (240e9, 360e9)
    lesser = published("Apple M4 Max", 36 * GIB, cores=32)
    assert lesser is not None
    assert lesser.bandwidth.value == 410e9


@pytest.mark.parametrize("name", ["", "NVIDIA", "NVIDIA GeForce RTX 5070 Ti Laptop GPU", "RTX 40900", "Unknown"])
def test_another_chip_is_not_taken_for_one_of_the_table(name: str) -> None:
    assert published(name) is None
