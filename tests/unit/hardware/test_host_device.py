"""The host as a device, and the machine as a whole."""

from __future__ import annotations

from pathlib import Path

import pytest
from fake_nvml import Card, FakeNvml

from hostler.hardware import bandwidth, processor
from hostler.hardware.facts import Cpu, Figure
from hostler.hardware.host import HostMemory
from hostler.hardware.inspection import inspect
from hostler.hardware.nvidia import Nvidia

GIB = 2**30


def put(root: Path, name: str, text: str) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_numa_nodes(tmp_path: Path) -> None:
    put(tmp_path, "sys/devices/system/node/node1/meminfo", "Node 1 MemTotal:       1024 kB\nNode 1 MemFree: 1 kB\n")
    put(tmp_path, "sys/devices/system/node/node1/cpulist", "8-15,24-31\n")
    assert processor.numa(tmp_path) == ()
    put(tmp_path, "sys/devices/system/node/node0/meminfo", "Node 0 MemTotal:       2048 kB\n")
    put(tmp_path, "sys/devices/system/node/node0/cpulist", "0-7\n")
    nodes = processor.numa(tmp_path)
    assert [(node.id, node.threads, node.memory) for node in nodes] == [(0, 8, 2 << 20), (1, 16, 1 << 20)]


def test_clock(tmp_path: Path) -> None:
    assert processor.clock(tmp_path) is None
    put(tmp_path, "proc/cpuinfo", "processor\t: 0\ncpu MHz\t\t: 2596.096\n")
    assert processor.clock(tmp_path) == Figure(2596.096e6, "/proc/cpuinfo")
    put(tmp_path, "sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq", "4500000\n")
    assert processor.clock(tmp_path) == Figure(4.5e9, "cpufreq")


@pytest.mark.parametrize(("flags", "per_cycle"), [(("avx2",), 32), (("avx2", "avx512f"), 64), (("asimd",), 16)])
def test_rate(flags: tuple[str, ...], per_cycle: int) -> None:
    cpu = Cpu(model="m", cores=8, threads=16, efficiency_cores=2, flags=flags, clock=Figure(4e9, "s"))
    rate = processor.rate(cpu)
    assert rate is not None
    assert rate.value == 6 * 4e9 * per_cycle
    assert rate.source.startswith("estimated")


def test_rate_without_a_clock() -> None:
    assert processor.rate(Cpu(model="m", cores=8, threads=16, flags=("avx2",))) is None


def test_what_our_engines_hold_is_not_foreign() -> None:
    cpu = Cpu(model="m", cores=2, threads=2)
    assert processor.device(HostMemory(8 * GIB, 5 * GIB), cpu, ours=2 * GIB).foreign == GIB


def test_this_machine(tmp_path: Path) -> None:
    machine = inspect(tmp_path, nvidia=Nvidia(FakeNvml(Card(), Card(name="NVIDIA GeForce RTX 5070 Ti"))))
    assert [device.id for device in machine.devices][:2] == ["gpu0", "gpu1"]
    assert machine.devices[-1].id == "host"
    assert machine.device("gpu1") is machine.gpus[1]
    assert machine.device("gpu7") is None
    assert not machine.described
    assert machine.host.total > 0


def test_measured_figures_belong_to_one_machine(tmp_path: Path) -> None:
    probe = Nvidia("none")
    machine = inspect(tmp_path, nvidia=probe)
    assert machine.host.bandwidth is None
    assert inspect(tmp_path, nvidia=probe).fingerprint == machine.fingerprint
    measured = bandwidth.Measured(Figure(20e9, "measured"), Figure(1e9, "measured"), 0.0)
    bandwidth.remember(tmp_path, machine.fingerprint, measured)
    again = inspect(tmp_path, nvidia=probe)
    assert (again.host.bandwidth, again.disk) == (measured.memory, measured.disk)
    other = inspect(tmp_path, nvidia=Nvidia(FakeNvml(Card())))
    assert other.fingerprint != machine.fingerprint
    assert other.disk is None


def test_a_broken_cache_is_no_cache(tmp_path: Path) -> None:
    put(tmp_path, "hardware/abc.json", '{"memory": 1')
    assert bandwidth.remembered(tmp_path, "abc") is None
    blocked = tmp_path / "file"
    blocked.touch()
    bandwidth.remember(blocked, "abc", bandwidth.Measured(None, None, 0.0))


def test_memory_is_measured_by_reading_it() -> None:
    figure = bandwidth.memory(threads=2, size=8 * 2**20, passes=1)
    assert figure is not None
    assert figure.value > 1e8
    assert figure.source == "measured: 2 cores read 8 MiB, best of 1"
    assert bandwidth.memory(size=2**60) is None


def test_the_disk_is_measured_on_the_largest_file(tmp_path: Path) -> None:
    put(tmp_path, "small", "x")
    (tmp_path / "large").write_bytes(bytes(3 * 2**20 + 5))
    figure = bandwidth.disk([tmp_path / "small", tmp_path / "large", tmp_path / "none", tmp_path])
    assert figure is not None
    assert "3 MiB" in figure.source
    assert bandwidth.disk([tmp_path / "none"]) is None
    assert bandwidth.disk([]) is None
