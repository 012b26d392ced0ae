"""The NVIDIA GPU of this machine by the real driver; fails where there is none."""

from __future__ import annotations

from hostler.cli.doctor.compatibility import installed, told
from hostler.hardware import host
from hostler.hardware.inspection import inspect
from hostler.hardware.nvidia import Nvidia


def test_every_gpu_is_whole() -> None:
    gpus, absent = Nvidia().devices(host.memory())
    assert gpus, [absence.reason for absence in absent]
    for gpu in gpus:
        assert gpu.name.startswith("NVIDIA") or gpu.name.startswith("Tesla")
        assert 0 < gpu.free <= gpu.total
        assert gpu.compute_capability is not None
        assert gpu.target == "sm_{}{}".format(*gpu.compute_capability)
        assert gpu.driver
        assert gpu.uuid
        assert gpu.bandwidth is not None
        assert gpu.bandwidth.value > 50e9
        assert gpu.pcie is not None or gpu.unified


def test_a_reading_has_what_the_gateway_shows() -> None:
    probe = Nvidia()
    try:
        readings, lost = probe.read()
    finally:
        probe.close()
    assert readings, probe.reason
    assert lost == {}
    for reading in readings.values():
        assert reading.utilisation is not None
        assert reading.temperature_c is not None
        assert reading.power_w is not None


def test_what_is_installed_goes_together() -> None:
    machine = inspect()
    assert machine.gpus, [absence.reason for absence in machine.absent]
    assert [finding.message for finding in told(machine.gpus, installed()) if finding.level == "problem"] == []
