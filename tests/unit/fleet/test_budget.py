"""What engines may hold on each device."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import pytest

from hostler.config.quantities import Bytes
from hostler.config.settings import MemorySettings
from hostler.fleet.memory import Budget, DeviceReading
from hostler.hardware import machines
from hostler.hardware.facts import Device

MIB = 2**20
GIB = 2**30
DESKTOP = machines.load("rtx4090-5070ti")
FIRST, SECOND = DESKTOP.gpus


def _budget(readings: Mapping[str, DeviceReading], **settings: object) -> Budget:
    def read(_: Iterable[int]) -> Mapping[str, DeviceReading]:
        return readings

    return Budget(MemorySettings(**settings), read)


def _card(device: Device, free: int, ours: int | None) -> DeviceReading:
    return DeviceReading(device.total, free, ours, device)


def test_the_host_keeps_its_reserve_and_what_others_hold() -> None:
    budget = _budget({"host": DeviceReading(64 * GIB, 40 * GIB, 10 * GIB)})

    assert budget.bytes == {"host": 64 * GIB - 14 * GIB - 64 * GIB * 8 // 100}
    assert budget.rooms["host"].foreign == 14 * GIB


def test_a_card_keeps_a_margin_and_more_with_a_display() -> None:
    budget = _budget({"gpu0": _card(FIRST, FIRST.total, 0), "gpu1": _card(SECOND, SECOND.total - 3 * GIB, 0)})

    assert budget.bytes == {"gpu0": FIRST.total - 128 * MIB, "gpu1": SECOND.total - 4 * GIB}


def test_margins_and_ceilings_are_settings() -> None:
    readings = {"gpu0": _card(FIRST, FIRST.total, 0), "gpu1": _card(SECOND, SECOND.total, 0)}
    budget = _budget(readings, margin={"gpu0": Bytes(2 * GIB)}, budget={"gpu1": Bytes(5 * GIB)})

    assert budget.bytes == {"gpu0": FIRST.total - 2 * GIB, "gpu1": 5 * GIB}


def test_what_our_engines_hold_is_not_foreign() -> None:
    budget = _budget({"gpu0": _card(FIRST, 4 * GIB, FIRST.total - 6 * GIB)})

    assert budget.rooms["gpu0"].foreign == 2 * GIB


@pytest.mark.parametrize(("held", "foreign"), [({"gpu0": 10 * GIB}, 2 * GIB), ({}, 12 * GIB)])
def test_a_driver_that_does_not_tell_is_filled_in_by_what_the_fleet_believes(
    held: dict[str, int], foreign: int
) -> None:
    budget = _budget({"gpu0": _card(FIRST, FIRST.total - 12 * GIB, None)})
    budget.refresh((), held)

    assert budget.rooms["gpu0"].foreign == foreign


def test_a_driver_that_knows_our_engines_by_other_numbers_is_not_believed() -> None:
    """In a container NVML told of processes of the host: our own engines were others' programs, and had to go."""
    readings = {"gpu0": _card(FIRST, FIRST.total - 12 * GIB, 0)}
    budget = _budget(readings)
    budget.refresh((), {"gpu0": 10 * GIB})
    assert budget.rooms["gpu0"].foreign == 2 * GIB

    readings["gpu0"] = _card(FIRST, FIRST.total - 12 * GIB, 9 * GIB)
    budget.refresh((), {"gpu0": 10 * GIB})
    assert budget.rooms["gpu0"].foreign == 3 * GIB
    readings["gpu0"] = _card(FIRST, FIRST.total - 3 * GIB, 0)
    budget.refresh((), {"gpu0": 10 * GIB})  # it tells: the next engine holds nothing yet
    assert budget.rooms["gpu0"].foreign == 3 * GIB


def test_more_believed_than_used_leaves_nothing_foreign() -> None:
    budget = _budget({"gpu0": _card(FIRST, FIRST.total - GIB, None)})
    budget.refresh((), {"gpu0": 10 * GIB})

    assert budget.rooms["gpu0"].foreign == 0


def test_a_mac_s_gpu_may_use_its_limit_of_the_host_s_memory() -> None:
    mac = machines.load("m4-max-64gb")
    (gpu,) = mac.gpus
    budget = _budget({"gpu0": DeviceReading(gpu.total, gpu.total, 0, gpu), "host": DeviceReading(gpu.total, GIB, 0)})

    assert budget.bytes["gpu0"] == (gpu.limit or 0) - 128 * MIB
    assert budget.bytes["host"] == 0


def test_a_card_that_is_gone_has_no_budget() -> None:
    readings = {"gpu0": _card(FIRST, FIRST.total, 0), "host": DeviceReading(64 * GIB, 60 * GIB, 0)}
    budget = _budget(readings)
    del readings["gpu0"]
    budget.refresh(())

    assert budget.bytes.keys() == {"host"}


def test_a_room_knows_that_a_setting_bounds_it() -> None:
    reading = {"host": DeviceReading(64 * GIB, 60 * GIB, 0)}

    assert _budget(reading, budget={"host": Bytes(GIB)}).rooms["host"].bounded
    assert not _budget(reading).rooms["host"].bounded
