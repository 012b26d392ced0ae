"""Memory that is declared on a device that is not there, or is too small, is told before anything is loaded."""

from __future__ import annotations

from hostler.config.quantities import Bytes
from hostler.config.settings import Config, EngineSettings, Profile
from hostler.fleet.profiles.declared import unplaceable
from hostler.hardware import machines
from hostler.hardware.facts import Machine

GIB = 2**30


def told(pin: bool = False, **gib: int) -> list[str]:
    memory = {device: Bytes(size * GIB) for device, size in gib.items()}
    engine = EngineSettings(kind="command", argv=("s", "${PORT}"), memory=memory)
    profiles = {"x": Profile(model="m", engine=engine, pin=pin), "y": Profile(model="m")}
    return unplaceable(Config(profiles=profiles), lambda: machines.load("rtx4090-5070ti"))


def test_what_the_machine_has_is_fine() -> None:
    assert told(gpu0=20, gpu1=8, host=16) == []


def test_a_device_that_is_not_there() -> None:
    (line,) = told(gpu7=1)
    assert line.startswith("profiles.x.engine.memory.gpu7: this machine has no such device")
    assert "gpu0, gpu1" in line


def test_more_than_a_device_can_ever_hold() -> None:
    (line,) = told(host=900, gpu0=4)
    assert line.startswith("profiles.x.engine.memory.host: 900.0 GiB can never be had: engines may hold ")


def test_pins_are_told_of_elsewhere() -> None:
    assert told(pin=True, gpu7=1) == []


def test_a_machine_is_only_looked_at_where_something_is_declared() -> None:
    def machine() -> Machine:
        raise AssertionError

    assert unplaceable(Config(profiles={"y": Profile(model="m")}), machine) == []
