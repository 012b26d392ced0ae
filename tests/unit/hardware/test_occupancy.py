"""How full devices are, read cheaply."""

from __future__ import annotations

import os

from fake_nvml import Card, FakeNvml, Memory, Process, is_lost
from msgspec.structs import replace

from hostler.hardware import machines
from hostler.hardware.facts import Machine
from hostler.hardware.nvidia import Nvidia
from hostler.hardware.occupancy import Occupancy

GIB = 2**30
DESKTOP = machines.load("rtx4090-5070ti")
TWO = (Card(memory=Memory(24 * GIB, 20 * GIB)), Card(memory=Memory(16 * GIB, 12 * GIB)))


class Looked:
    """Counts how often the machine was inspected."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.times = 0

    def __call__(self) -> Machine:
        self.times += 1
        return self.machine


def test_before_anybody_asked_for_the_machine_only_the_host_is_read() -> None:
    looked = Looked(DESKTOP)
    occupancy = Occupancy(looked, lambda: Nvidia(FakeNvml(*TWO)))

    assert occupancy.read(()).keys() == {"host"}
    assert (looked.times, occupancy.known) == (0, None)


def test_every_card_is_read_and_the_driver_opened_once() -> None:
    nvml = FakeNvml(*TWO)
    occupancy = Occupancy(Looked(DESKTOP), lambda: Nvidia(nvml))
    occupancy.machine()

    for _ in range(3):
        readings = occupancy.read(())
    assert {name: (each.total, each.free, each.ours) for name, each in readings.items() if name != "host"} == {
        "gpu0": (24 * GIB, 20 * GIB, 0),
        "gpu1": (16 * GIB, 12 * GIB, 0),
    }
    assert readings["gpu1"].device == DESKTOP.gpus[1]
    assert nvml.opened == 1


def test_a_card_that_falls_off_the_bus_is_left_out() -> None:
    nvml = FakeNvml(*TWO)
    occupancy = Occupancy(Looked(DESKTOP), lambda: Nvidia(nvml))
    occupancy.machine()
    nvml.cards[1] = Card(failing=is_lost())

    assert occupancy.read(()).keys() == {"gpu0", "host"}


def test_a_driver_that_is_gone_is_closed_and_only_the_host_stays() -> None:
    gone = Card(failing=is_lost())
    nvml = FakeNvml(gone, gone)
    occupancy = Occupancy(Looked(DESKTOP), lambda: Nvidia(nvml))
    occupancy.machine()

    assert occupancy.read(()).keys() == {"host"}
    assert nvml.closed == 1


def test_what_a_process_holds_is_told_where_the_driver_does() -> None:
    first, second = Process(4711, 3 * GIB), Process(4711, None)
    nvml = FakeNvml(Card(memory=TWO[0].memory, processes=[first]), Card(memory=TWO[1].memory, processes=[second]))
    occupancy = Occupancy(Looked(DESKTOP), lambda: Nvidia(nvml))
    assert occupancy.held_by(4711) == {}
    occupancy.machine()

    assert occupancy.held_by(4711) == {"gpu0": 3 * GIB}
    readings = occupancy.read((4711,))
    assert (readings["gpu0"].ours, readings["gpu1"].ours) == (3 * GIB, None)


def test_who_holds_memory_of_a_card_is_named() -> None:
    nvml = FakeNvml(Card(processes=[Process(4711, None), Process(os.getpid(), 3 * GIB)]), Card())
    occupancy = Occupancy(Looked(DESKTOP), lambda: Nvidia(nvml))
    assert occupancy.holders("gpu0") == []
    occupancy.machine()

    mine, other = occupancy.holders("gpu0")
    assert mine.endswith(f"(pid {os.getpid()}): 3.0 GiB")
    assert "4711" in other
    assert other.endswith(": some")
    assert occupancy.holders("gpu1") == occupancy.holders("gpu7") == []


def test_unified_memory_is_the_host_s() -> None:
    mac = machines.load("m4-max-64gb")
    occupancy = Occupancy(Looked(mac))
    occupancy.machine()
    readings = occupancy.read((os.getpid(),))

    assert (readings["gpu0"].free, readings["gpu0"].ours) == (mac.gpus[0].total, 0)
    assert (readings["host"].ours or 0) > 0


def test_a_machine_is_looked_at_again_until_its_memory_was_measured() -> None:
    unmeasured = replace(DESKTOP, devices=(*DESKTOP.gpus, replace(DESKTOP.host, bandwidth=None)))
    looked = Looked(unmeasured)
    occupancy = Occupancy(looked, lambda: Nvidia(FakeNvml(*TWO)))
    occupancy.machine()
    looked.machine = DESKTOP

    assert occupancy.machine() == occupancy.machine() == DESKTOP
    assert looked.times == 2
