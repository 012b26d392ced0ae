"""Loads at the same time: as many as fit, as their disk can feed, and as the limit allows."""

from __future__ import annotations

from pathlib import Path

import pytest
from fleet_world import GIB, world
from msgspec.structs import replace
from scheduler_yard import RULES, Yard

from hostler.config.settings import LimitSettings
from hostler.fleet.learning.measurements import Measurement
from hostler.fleet.parked import Parking
from hostler.fleet.scheduling import messages as m
from hostler.fleet.scheduling.forecast import forecast

FOUR = dict.fromkeys("abcd", 2 * GIB)


class Disks(Yard):
    """A yard whose profiles lie on disks."""

    reads: dict[str, m.Reads]

    def want(self, profile: str) -> m.Want:
        return replace(super().want(profile), reads=self.reads.get(profile))


def disks(**reads: tuple[str, float]) -> Disks:
    yard = Disks(FOUR)
    yard.reads = {profile: m.Reads(*told) for profile, told in reads.items()}
    return yard


def test_profiles_that_fit_together_load_at_the_same_time() -> None:
    yard = Yard(FOUR)
    for profile in FOUR:
        yard.ask(profile)
    assert sorted(yard.started()) == list("abcd")


def test_no_more_than_the_limit_load_at_the_same_time() -> None:
    yard = Yard(FOUR, rules=replace(RULES, loads=2))
    tickets = [yard.ask(profile) for profile in FOUR]
    assert yard.started() == ["a", "b"]
    yard.loaded("b")
    assert yard.started() == ["a", "b", "c"]
    yard.loaded("a")
    yard.loaded("c")
    yard.loaded("d")
    assert all(map(yard.granted, tickets))


def test_what_a_disk_cannot_feed_loads_one_after_the_other() -> None:
    yard = disks(a=("slow", 0.9), b=("slow", 0.9), c=("other", 0.9))
    for profile in "abcd":
        yard.ask(profile)
    assert yard.started() == ["a", "c", "d"]
    yard.loaded("a")
    assert yard.started() == ["a", "c", "d", "b"]


def test_loads_that_leave_their_disk_time_share_it() -> None:
    yard = disks(a=("fast", 0.3), b=("fast", 0.3), c=("fast", 0.3), d=("fast", 0.3))
    for profile in "abcd":
        yard.ask(profile)
    assert yard.started() == ["a", "b", "c"]


def test_a_load_that_fails_lets_the_next_one_go() -> None:
    yard = disks(a=("slow", 1.0), b=("slow", 1.0))
    yard.ask("a")
    yard.ask("b")
    yard.tell(m.Unload("a", True, "test"))
    assert yard.started() == ["a", "b"]


def test_nobody_leaves_for_a_load_that_cannot_begin_yet() -> None:
    yard = Disks({"a": 4 * GIB, "b": 4 * GIB, "c": 4 * GIB})
    yard.reads = {"b": m.Reads("slow", 1.0), "c": m.Reads("slow", 1.0)}
    yard.resident("a")
    yard.ask("b")
    yard.ask("c")
    assert yard.stopped() == []
    yard.loaded("b")
    assert len(yard.stopped()) == 1


def test_who_waits_for_the_disk_is_told_how_long() -> None:
    yard = disks(a=("slow", 1.0), b=("slow", 1.0))
    yard.state = replace(yard.state, load_s={"a": 10.0, "b": 4.0})
    yard.ask("a")
    waiting = yard.ask("b")
    yard.now = 3.0
    assert forecast(yard.state, waiting, yard.at()).wait_s == 7.0 + 4.0


@pytest.mark.anyio
async def test_what_a_load_asks_of_its_disk_is_measured(tmp_path: Path) -> None:
    known = Measurement(load_s=2.0, bytes={})
    want = replace(Yard(FOUR).want("a"), load_s=2.0)
    missing = tmp_path / "none.gguf"
    assert (await Parking(lambda _: known, lambda _: 0).reading(want, (missing,))).reads is None
    measured = Parking(lambda _: known, lambda _: 0, lambda: 1e9)
    assert (await measured.reading(want, (missing,))).reads is None
    assert (await measured.reading(replace(want, load_s=None), (missing,))).reads is None


@pytest.mark.anyio
async def test_the_fleet_loads_side_by_side_and_keeps_the_limit(tmp_path: Path) -> None:
    async with world(tmp_path, FOUR, limits=LimitSettings(loads=2)) as fleet_world:
        runner = fleet_world.runner
        runner.hold = {"a", "b", "c"}
        for profile in "abc":
            fleet_world.fleet.ask(profile, f"r-{profile}", "local", "chat")
        await fleet_world.until(lambda: len(runner.release) == 2)
        first, second = runner.loads
        (third,) = set("abc") - {first, second}
        runner.release[first].set()
        await fleet_world.until(lambda: third in runner.release)
        assert fleet_world.states() == {first: "ready", second: "loading", third: "loading"}
        runner.release[second].set()
        runner.release[third].set()
