"""What a ladder changes, in the plan that comes of it."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

from msgspec.structs import replace

from hostler.config.settings import EngineSettings, Placement, Profile
from hostler.engines.builds import Build
from hostler.fleet.profiles.planning import Asked, Planning, Resident, World
from hostler.fleet.recovery.ladder import NONE, Changes, Step
from hostler.hardware import machines
from hostler.models.facts import Model
from hostler.placement.plan import Plan
from hostler.placement.wish import rooms_of
from hostler.testing.specs import SHAPE

MIB, GIB = 2**20, 2**30
DESKTOP = machines.load("rtx4090-5070ti")
BUILD = Build(name="b", kind="binary", version="1", sha256="f" * 64, devices=("CUDA0", "CUDA1"))
#: Thirty layers of 512 MiB: 15 GiB.
LARGE = replace(SHAPE, layers=tuple(replace(layer, feed_forward=512 * MIB) for layer in SHAPE.layers))
BOUND = Changes(most={"gpu0": 12 * GIB})
STEPS = (Step(rung="ubatch", device="gpu0", what="ubatch 64 instead of 512", was="512", now="64"),)


def _world(*residents: Resident, changes: Changes = NONE) -> World:
    return World(
        machine=lambda: DESKTOP,
        rooms=lambda _: rooms_of(DESKTOP),
        build=lambda _: BUILD,
        residents=lambda: residents,
        changes=lambda _: changes,
    )


def _asked(placement: Placement = "auto") -> Asked:
    profile = Profile(model="m", context=8192, devices=("gpu0",), engine=EngineSettings(), placement=placement)
    model = Model(name="m", files=(Path("/models/m.gguf"),), size=1, origin="path")
    return Asked(name="coder", profile=profile, task="chat", model=model, shape=LARGE)


def _plan(changes: Changes, *residents: Resident, placement: Placement = "auto") -> Plan:
    return Planning(_world(*residents)).load(_asked(placement), changes).plan


def test_less_of_the_card_is_used_and_the_rest_goes_to_the_host() -> None:
    assert _plan(NONE).need["gpu0"] > 12 * GIB
    bounded = _plan(BOUND)
    assert 10 * GIB < bounded.need["gpu0"] <= 12 * GIB
    assert bounded.need["host"] > 3 * GIB


def test_residents_beside_which_there_is_room_do_not_lower_the_bound() -> None:
    assert 10 * GIB < _plan(BOUND, Resident(profile="small", bytes={"gpu0": 4 * GIB})).need["gpu0"] <= 12 * GIB


def test_the_bound_holds_when_residents_leave() -> None:
    instead = _plan(BOUND, Resident(profile="large", bytes={"gpu0": 21 * GIB}))
    assert instead.goes == ("large",)
    assert instead.need["gpu0"] <= 12 * GIB


def test_an_engine_that_places_by_itself_leaves_more_free() -> None:
    def target(changes: Changes) -> int:
        argv = _plan(changes, placement="engine").argv
        return int(argv[argv.index("--fit-target") + 1].split(",")[0])

    room = rooms_of(DESKTOP)["gpu0"]
    assert target(NONE) == room.margin // MIB
    assert target(BOUND) == (room.margin + room.available - 12 * GIB) // MIB


def test_a_plan_that_is_shown_is_the_one_that_loads_run_with() -> None:
    # It showed 512 where every load since had run with 64.
    remembered = Changes(ubatch=64, steps=STEPS, build=BUILD.key)
    told = Planning(_world(changes=remembered)).told(_asked())
    assert told.run.ubatch == 64
    assert "ubatch 64 instead of 512, after running out of memory on gpu0" in told.notes[0]


def test_what_holds_no_more_is_not_shown() -> None:
    """1. It was found with another build. 2. It cannot be planned: there is no room for it now."""
    other = Changes(ubatch=64, steps=STEPS, build="another")
    hopeless = Changes(most={"gpu0": 0, "host": 0}, steps=STEPS, build=BUILD.key)
    for changes in (other, hopeless):
        told = Planning(_world(changes=changes)).told(_asked())
        assert told.run.ubatch != 64
        assert not [note for note in told.notes if "instead of" in note]


def test_sizes_and_types_are_in_the_flags() -> None:
    argv = _plan(Changes(ubatch=64, cache_k="q8_0", cache_v="q8_0", context=4096, steps=STEPS)).argv
    told = dict(pairwise(argv))
    assert (told["--ubatch-size"], told["--ctx-size"]) == ("64", "4096")
    assert (told["--cache-type-k"], told["--cache-type-v"], told["--flash-attn"]) == ("q8_0", "q8_0", "on")
