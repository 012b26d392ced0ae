"""Pins that can never hold are found in the configuration and the machine, before anything is loaded."""

from __future__ import annotations

from pathlib import Path

from msgspec.structs import replace

from hostler.config.quantities import Bytes
from hostler.config.settings import Config, EngineSettings, GroupSettings, MemorySettings, Profile
from hostler.fleet.profiles.pinned import impossible
from hostler.fleet.profiles.planning import Asked
from hostler.hardware import machines
from hostler.models.facts import Model
from hostler.testing.specs import SHAPE

GIB = 2**30
DESKTOP = machines.load("rtx4090-5070ti")
#: Thirty layers of 512 MiB: 15 GiB.
LARGE = replace(SHAPE, layers=tuple(replace(layer, feed_forward=2**29) for layer in SHAPE.layers))


def told(config: Config) -> list[str]:
    def look(name: str) -> Asked | None:
        model = Model(name="m", files=(Path("/models/m.gguf"),), size=1, origin="path")
        return Asked(name=name, profile=config.profiles[name], task="chat", model=model, shape=LARGE)

    return impossible(config, look, DESKTOP)


def large(**profile: object) -> Profile:
    return replace(Profile(model="m", context=4096, pin=True), **profile)


def within(gib: int, **profiles: Profile) -> Config:
    """With so much of each device to hold."""
    budget = {name: Bytes(gib * GIB) for name in ("host", "gpu0", "gpu1")}
    return Config(memory=MemorySettings(budget=budget), profiles=profiles)


def test_pins_that_fit_together_are_fine() -> None:
    assert told(within(20, a=large(), b=large())) == []
    assert told(within(20, a=large(pin=False), b=large(pin=False), c=large(pin=False), d=large(pin=False))) == []


def test_pins_that_do_not_fit_together_are_told_with_numbers() -> None:
    (why,) = told(within(12, a=large(), b=large(), c=large()))
    assert why.startswith(
        "'a', 'b' and 'c' are pinned and can never all be loaded; beside the others, 'c' has no room:"
    )
    assert "GiB" in why


def test_a_pin_that_is_too_large_alone() -> None:
    (why,) = told(within(3, a=large(), b=large(pin=False)))
    assert why.startswith("'a' is pinned and can never be loaded:")


def test_one_that_may_lie_anywhere_gives_way_to_one_that_may_not() -> None:
    """Pinned first it takes the card; placed second it fits beside."""
    assert told(within(17, a=large(), b=large(devices=("gpu0",)))) == []


def test_a_program_holds_what_it_declares() -> None:
    program = Profile(
        model="m",
        pin=True,
        engine=EngineSettings(kind="command", argv=("x", "${PORT}"), memory={"gpu0": Bytes(8 * GIB)}),
    )
    assert told(within(20, a=program, b=replace(program, pin=True))) == []
    (why,) = told(within(12, a=program, b=program))
    assert "it declares 8.0 GiB on gpu0" in why


def test_a_pin_in_an_exclusive_group_shuts_the_others_out() -> None:
    profiles = {"a": large(group="one"), "b": large(group="one", pin=False), "c": large(pin=False)}
    config = replace(within(20, **profiles), groups={"one": GroupSettings(exclusive=True)})
    assert told(config) == ["'a' is pinned and group 'one' is exclusive, so that 'b' can never be loaded"]


def test_what_cannot_be_read_is_left_to_others_to_tell() -> None:
    assert impossible(within(1, a=large()), lambda _: None, DESKTOP) == []
