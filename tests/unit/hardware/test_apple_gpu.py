"""The GPU of a Mac, from what its tools print."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostler.hardware import apple
from hostler.hardware.facts import Device

GIB = 2**30
RECORDINGS = Path(__file__).parent / "recordings"


def tools(folder: str, *broken: str) -> Callable[[tuple[str, ...]], str]:
    """Runs what was recorded; ``broken`` tools print nothing."""

    def run(command: tuple[str, ...]) -> str:
        tool = Path(command[0]).name
        return "" if tool in broken else (RECORDINGS / folder / f"{tool}.txt").read_text()

    return run


def found(run: Callable[[tuple[str, ...]], str], free: int = 8 * GIB) -> Device:
    devices, absent = apple.probe(free, system="Darwin", machine="arm64", run=run)
    assert absent == []
    return devices[0]


def test_m4_max() -> None:
    gpu = found(tools("mac_m4_max"), free=50 * GIB)
    assert (gpu.id, gpu.kind, gpu.name, gpu.cores) == ("gpu0", "apple", "Apple M4 Max", 40)
    assert (gpu.total, gpu.free, gpu.foreign, gpu.limit) == (64 * GIB, 50 * GIB, 14 * GIB, 48 * GIB)
    assert gpu.bandwidth is not None
    assert gpu.bandwidth.value == 546e9
    assert gpu.display
    assert gpu.unified


def test_a_raised_limit_counts() -> None:
    gpu = found(tools("mac_m2"))
    assert gpu.limit == 13312 * 2**20
    assert gpu.sources["limit"] == "sysctl iogpu.wired_limit_mb"
    assert not gpu.display


def test_with_half_of_the_tools() -> None:
    gpu = found(tools("mac_m4_max", "ioreg"))
    assert gpu.cores == 40
    gpu = found(tools("mac_m4_max", "ioreg", "system_profiler"))
    assert (gpu.cores, gpu.name) == (None, "Apple M4 Max")


@pytest.mark.parametrize(
    ("system", "machine", "said"),
    [("Linux", "arm64", "not a Mac"), ("Darwin", "x86_64", "Intel"), ("Darwin", "arm64", "sysctl")],
)
def test_a_reason_where_there_is_none(system: str, machine: str, said: str) -> None:
    devices, (absence,) = apple.probe(GIB, system=system, machine=machine, run=lambda _: "")
    assert devices == []
    assert said in absence.reason


@pytest.mark.parametrize(("memory", "limit"), [(16, 10.667), (32, 21.333), (36, 27), (64, 48), (192, 144)])
def test_the_default_limit(memory: int, limit: float) -> None:
    assert apple.default_limit(memory * GIB) == pytest.approx(limit * GIB, rel=1e-3)


def test_chip_and_use() -> None:
    told = apple.sysctl((RECORDINGS / "mac_m4_max" / "sysctl.txt").read_text())
    assert apple.chip(told) == apple.Chip(performance_cores=12, efficiency_cores=4)
    assert apple.chip({}) == apple.Chip(performance_cores=1, efficiency_cores=0)
    assert apple.utilisation((RECORDINGS / "mac_m4_max" / "ioreg.txt").read_text()) == (13.0, 1296039936)


def test_a_tool_that_is_missing_or_hangs_says_nothing(tmp_path: Path) -> None:
    assert apple.run((str(tmp_path / "none"),)) == ""


@given(st.text(), st.text(), st.text())
def test_any_output_gives_a_device_or_a_reason(one: str, two: str, three: str) -> None:
    said = {"sysctl": f"hw.memsize: 17179869184\n{one}", "ioreg": two, "system_profiler": three}
    devices, absent = apple.probe(
        GIB, system="Darwin", machine="arm64", run=lambda command: said[Path(command[0]).name]
    )
    assert len(devices) + len(absent) == 1
