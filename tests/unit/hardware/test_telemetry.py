"""Telemetry: what is kept, what is told, and that a driver's trouble stays its own."""

from __future__ import annotations

import threading
from collections.abc import Collection
from pathlib import Path

import anyio
import msgspec
import pytest
from fake_nvml import Card, FakeNvml, is_lost

from hostler.clock import ManualClock
from hostler.events import AnyEvent, Bus, DeviceFound, DeviceLost, DeviceThrottling
from hostler.hardware import sampler, sources
from hostler.hardware.facts import Absence, Machine
from hostler.hardware.machines import load
from hostler.hardware.nvidia import Nvidia
from hostler.hardware.sampler import Readings, Telemetry, Timed
from hostler.wire.hardware import Reading

HOT = Reading(at=1.0, throttling=("temperature",))
COOL = Reading(at=1.0)


def look(_ours: Collection[int]) -> Machine:
    return load("rtx4090-5070ti")


def telemetry(bus: Bus, *timed: Timed, interval_s: float = 1.0) -> Telemetry:
    return Telemetry(bus, look, lambda _: timed, interval_s=interval_s)


def events(bus: Bus) -> list[AnyEvent]:
    return bus.since(0)


def test_throttling_is_told_when_it_begins_and_when_it_ends() -> None:
    bus = Bus(ManualClock())
    kept = telemetry(bus)
    for _ in range(sampler.BEGINS_AFTER + 5):
        kept.take({"gpu0": HOT}, {})
    (begun,) = events(bus)
    assert isinstance(begun, DeviceThrottling)
    assert (begun.device, begun.active, begun.reasons) == ("gpu0", True, ("temperature",))
    assert kept.throttled() == {"gpu0": ("temperature",)}
    for _ in range(sampler.ENDS_AFTER + 5):
        kept.take({"gpu0": COOL}, {})
    ended = events(bus)[-1]
    assert isinstance(ended, DeviceThrottling)
    assert not ended.active
    assert kept.throttled() == {}
    assert len(events(bus)) == 2


def test_a_card_that_touches_its_limit_now_and_then_tells_nothing() -> None:
    bus = Bus(ManualClock())
    kept = telemetry(bus)
    for _ in range(50):
        kept.take({"gpu0": HOT}, {})
        kept.take({"gpu0": COOL}, {})
    assert events(bus) == []
    assert kept.metrics().devices[0].history.throttled[:2] == (True, False)


def test_a_lost_device_is_told_once_and_keeps_its_history() -> None:
    bus = Bus(ManualClock())
    kept = telemetry(bus)
    kept.take({"gpu0": COOL}, {})
    for _ in range(3):
        kept.take({}, {"gpu0": "GPU is lost"})
    (gone,) = kept.metrics("gpu0").devices
    assert (gone.present, gone.reason, len(gone.history.at)) == (False, "GPU is lost", 1)
    kept.take({"gpu0": COOL}, {})
    assert [type(event) for event in events(bus)] == [DeviceLost, DeviceFound]
    assert kept.metrics("gpu0").devices[0].present


def test_fifteen_minutes_are_kept_and_any_part_of_them_given() -> None:
    kept = telemetry(Bus(ManualClock()))
    for second in range(2000):
        kept.take({"host": Reading(at=float(second), utilisation=1.0), "gpu10": COOL, "gpu2": COOL}, {})
    (host,) = kept.metrics("host").devices
    assert (len(host.history.at), host.history.at[-1]) == (900, 1999.0)
    assert host.now is not None
    assert host.now.at == 1999.0
    assert kept.metrics("host", 60).devices[0].history.at == tuple(float(n) for n in range(1940, 2000))
    assert kept.metrics("host", 0).devices[0].history.at == ()
    assert [device.device for device in kept.metrics().devices] == ["gpu2", "gpu10", "host"]
    columns = [getattr(host.history, name) for name in host.history.__struct_fields__]
    assert {len(column) for column in columns} == {900}


class Hanging:
    """A driver that does not come back."""

    def __init__(self) -> None:
        self.released = threading.Event()
        self.closed = threading.Event()

    def read(self) -> Readings:
        self.released.wait(10)
        return {}, {}

    def close(self) -> None:
        self.closed.set()


@pytest.mark.anyio
async def test_one_driver_that_hangs_does_not_stop_the_others() -> None:
    bus = Bus()
    card = Card()
    hanging = Hanging()
    kept = telemetry(bus, Timed(hanging), Timed(Nvidia(FakeNvml(card))), interval_s=0.001)
    try:
        with anyio.fail_after(10):
            async with anyio.create_task_group() as group:
                group.start_soon(kept.run, 0.0)
                while not kept.metrics("gpu0").devices:
                    await anyio.sleep(0.001)
                card.failing = is_lost()
                await bus.changed(0)
                group.cancel_scope.cancel()
    finally:
        hanging.released.set()
    (gpu,) = kept.metrics("gpu0").devices
    assert (gpu.name, gpu.total, gpu.present) == ("NVIDIA GeForce RTX 4090", 24564 * 2**20, False)
    assert hanging.closed.wait(10)
    assert kept.knows("gpu1")
    assert not kept.knows("gpu7")


class Mistaken:
    """A source with a bug in it."""

    def read(self) -> Readings:
        raise ValueError("no reading")

    def close(self) -> None:
        """Nothing is held open."""


@pytest.mark.anyio
async def test_a_bug_in_one_source_ends_that_source_alone() -> None:
    kept = telemetry(Bus(), Timed(Mistaken()), Timed(Nvidia(FakeNvml(Card()))), interval_s=0.001)
    with anyio.fail_after(10):
        async with anyio.create_task_group() as group:
            group.start_soon(kept.run, 0.0)
            while not kept.metrics("gpu0", 1.0).devices:
                await anyio.sleep(0.001)
            group.cancel_scope.cancel()


@pytest.mark.anyio
async def test_a_machine_that_cannot_be_looked_at_is_only_not_read() -> None:
    def broken(_ours: Collection[int]) -> Machine:
        raise ValueError("no machine")

    with anyio.fail_after(10):
        await Telemetry(Bus(), broken, lambda _: []).run(0.0)


@pytest.mark.anyio
async def test_a_machine_is_measured_once_when_nothing_runs() -> None:
    """The described machine has no measured figures: the host's bandwidth is taken away first."""
    whole = load("cpu-2core")
    bare = msgspec.structs.replace(whole, devices=(msgspec.structs.replace(whole.host, bandwidth=None),))
    asked: list[str] = []
    running = [1]
    looks = 0

    def ours() -> list[int]:
        nonlocal looks
        looks += 1
        if looks > sampler.IDLE_FOR * 2:
            running.clear()
        return running

    def measure(machine: Machine) -> None:
        asked.append(machine.name)

    kept = Telemetry(Bus(), lambda _: bare, lambda _: [], ours, measure, interval_s=0.001)
    with anyio.fail_after(10):
        await kept.run(0.0)
    assert asked == ["cpu-2core"]
    assert looks == sampler.IDLE_FOR * 3


def test_the_host_is_read(tmp_path: Path) -> None:
    cpu = tmp_path / "sys/devices/system/cpu/cpu0"
    for name, text in {"cpufreq/scaling_cur_freq": "3200000\n", "thermal_throttle/core_throttle_count": "3\n"}.items():
        (cpu / name).parent.mkdir(parents=True)
        (cpu / name).write_text(text)
    sensor = tmp_path / "sys/class/hwmon/hwmon2"
    sensor.mkdir(parents=True)
    (sensor / "name").write_text("k10temp\n")
    (sensor / "temp1_input").write_text("61500\n")
    source = sources.Host(tmp_path)
    now = source.read()[0]["host"]
    assert (now.temperature_c, now.clock_mhz, now.throttling) == (61.5, 3200, ())
    assert now.utilisation is None or 0 <= now.utilisation <= 100
    assert now.used is not None
    (cpu / "thermal_throttle/core_throttle_count").write_text("4\n")
    assert source.read()[0]["host"].throttling == ("temperature",)
    assert source.read()[0]["host"].throttling == ()


def test_a_host_that_tells_little(tmp_path: Path) -> None:
    now = sources.Host(tmp_path).read()[0]["host"]
    assert (now.temperature_c, now.clock_mhz, now.throttling) == (None, None, ())


def test_the_gpu_of_a_mac_is_read() -> None:
    recording = (Path(__file__).parent / "recordings" / "mac_m4_max" / "ioreg.txt").read_text()
    readings, lost = sources.AppleGpu(lambda _: recording).read()
    assert (readings["gpu0"].utilisation, readings["gpu0"].used, lost) == (13.0, 1296039936, {})
    assert sources.AppleGpu(lambda _: "").read()[1] == {"gpu0": "ioreg does not show the GPU"}


def test_numbers_are_the_same_as_in_the_machine() -> None:
    """An NVIDIA GPU that cannot be used keeps its number; the AMD ones come after it."""
    machine = load("cpu-2core")
    amd = msgspec.structs.replace(load("h200").gpus[0], kind="amd", id="gpu2")
    lost = (Absence("nvidia", "lost", "gpu0"), Absence("amd", "without its driver", "gpu1"))
    machine = msgspec.structs.replace(machine, devices=(amd, machine.host), absent=lost)
    timed = sources.of(machine)
    assert [type(each.source).__name__ for each in timed] == ["Host", "Amd"]
    assert sources._first_amd(machine) == 1


@pytest.mark.parametrize(("name", "count"), [("cpu-2core", 1), ("h200", 2), ("m2-16gb", 2), ("rtx4090-5070ti", 2)])
def test_sources_are_those_of_the_devices(name: str, count: int) -> None:
    assert len(sources.of(load(name))) == count
