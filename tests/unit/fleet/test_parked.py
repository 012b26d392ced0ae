"""Parked profiles: what is left of them, how soon they are back, and who leaves first because of that."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from fleet_world import GIB, world
from msgspec.structs import replace
from scheduler_yard import Yard

from hostler.engines.prefetch import share_in_cache
from hostler.fleet.learning.measurements import Measurement
from hostler.fleet.parked import Parking
from hostler.fleet.prompts.worth import Rates, bringing_s, restoring_s
from hostler.fleet.scheduling import messages as m
from hostler.fleet.scheduling.forecast import forecast

pytestmark = pytest.mark.anyio

KNOWN = Measurement(load_s=20.0, bytes={}, reload_s=2.0)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    file = tmp_path / "model.gguf"
    file.write_bytes(b"x" * 2**20)  # just written, so it is in the page cache
    return file


async def gone(model: Path, known: Measurement | None = KNOWN) -> Parking:
    """A profile that was loaded and is not any more."""
    parking = Parking(lambda _: known, lambda _: 3)
    assert parking.loads("a-1", "a", "key", (model,)) is None
    assert parking.of("a") is None
    parking.gone("a-1", 100.0)
    await parking.look()
    return parking


async def test_what_was_unloaded_is_parked_with_what_is_left_of_it(model: Path) -> None:
    parking = await gone(model)
    parked = parking.of("a")
    assert parked is not None
    assert (parked.since, parked.prompts) == (100.0, 3)
    assert parked.cached == (share_in_cache((model,)) if sys.platform == "linux" else None)
    assert parking.of("never loaded") is None


async def test_from_the_page_cache_it_takes_what_that_was_measured_to_take(model: Path) -> None:
    parking = await gone(model)
    parking._left["a"].cached = 1.0
    want = Yard({"a": GIB}).want("a")
    assert parking.expected("a", want).load_s == 2.0
    assert parking.loads("a-2", "a", "key", (model,)) == 1.0
    parking.gone("a-2", 200.0)
    parking._left["a"].cached = 0.4
    assert parking.expected("a", want).load_s == 20.0


async def test_files_that_are_gone_are_in_no_cache(tmp_path: Path) -> None:
    assert share_in_cache((tmp_path / "none",)) is None
    parking = await gone(tmp_path / "none")
    assert parking.of("a") is not None


async def test_other_settings_are_another_profile(model: Path) -> None:
    parking = await gone(model)
    parking.keep_only({"a": "other key"})
    assert parking.of("a") is None


async def test_nothing_is_promised_of_what_never_became_ready(model: Path) -> None:
    assert (await gone(model, None)).of("a") is None


async def test_the_fleet_shows_what_it_has_unloaded(tmp_path: Path) -> None:
    async with world(tmp_path, {"a": GIB}) as fleet_world:
        fleet = fleet_world.fleet
        assert fleet.profile("a").parked is None
        await fleet.load("a")
        assert fleet.profile("a").parked is None
        await fleet.unload("a")
        parked = fleet.profile("a").parked
        assert parked is not None
        assert parked.load_s >= 0.0
        await fleet.load("a")
        assert fleet.profile("a").parked is None


def test_who_comes_back_quickly_from_the_page_cache_leaves_first() -> None:
    yard = Yard({"a": 4 * GIB, "b": 4 * GIB, "c": 4 * GIB})
    a = yard.resident("a")
    b = yard.resident("b")
    for instance, reload_s in ((a, None), (b, 0.5)):
        known = yard.state.instances[instance]
        ready = replace(known.state, load_s=30.0)  # type: ignore[type-var]
        changed = replace(known, state=ready, reload_s=reload_s)
        yard.state = replace(yard.state, instances={**yard.state.instances, instance: changed})
    yard.now = 50.0
    yard.ask("c")
    assert yard.stopped() == [b]


def test_a_forecast_takes_the_load_as_it_is_prepared() -> None:
    yard = Yard({"a": 6 * GIB, "b": 6 * GIB})
    yard.resident("a")
    yard.tell(m.Hold("h", "a", 100.0))
    yard.state = replace(yard.state, load_s={**yard.state.load_s, "b": 20.0})
    yard.tell(m.Ask(waiter=m.Waiter(ticket=9, profile="b", since=0.0)))
    yard.tell(m.Prepared("b", replace(yard.want("b"), load_s=2.0)))
    assert forecast(yard.state, 9, yard.at()).wait_s == 102.0


def test_a_saved_conversation_costs_its_restoring() -> None:
    rates = Rates(save=500e6, restore=500e6)
    assert bringing_s(60.0, 100_000_000, rates, 2.0) == restoring_s(100_000_000, rates)
    assert bringing_s(0.01, 100_000_000, rates, 2.0) == 0.01
    assert bringing_s(60.0, 2_000_000_000, rates, 2.0) == 60.0, "it is not written, for want of time"
