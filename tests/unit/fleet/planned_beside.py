"""One profile as it is planned beside what is resident."""

from __future__ import annotations

from msgspec.structs import replace

from hostler.config.settings import Profile
from hostler.engines.builds import Build
from hostler.fleet.profiles.planning import Asked, Load, Planning, Resident, World
from hostler.fleet.recovery.ladder import NONE
from hostler.hardware import machines
from hostler.models.facts import Model
from hostler.placement.wish import rooms_of
from hostler.testing.specs import SHAPE

DESKTOP = machines.load("rtx4090-5070ti")


def planned(residents: tuple[Resident, ...]) -> Load:
    """15 GiB of weights with a large context, on the first card of a described machine."""
    large = replace(SHAPE, layers=tuple(replace(layer, feed_forward=2**29) for layer in SHAPE.layers))
    profile = Profile(model="m", context=131072, kv="auto", devices=("gpu0",))
    model = Model(name="m", files=(), size=1, origin="path")
    build = Build(name="b", kind="binary", version="1", sha256="f" * 64, devices=("CUDA0", "CUDA1"))
    world = World(
        machine=lambda: DESKTOP, rooms=lambda _: rooms_of(DESKTOP), build=lambda _: build, residents=lambda: residents
    )
    asked = Asked(name="a", profile=profile, task="chat", model=model, shape=large)
    return Planning(world).load(asked, NONE)
