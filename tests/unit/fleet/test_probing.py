"""Builds are asked which defects they have: once, while nobody wants anything, and where nobody's words are lost."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import anyio
import anyio.lowlevel
import msgspec
import pytest

from hostler.clock import SystemClock
from hostler.config.settings import EngineSettings, KvSettings
from hostler.engines.protocol import Endpoint, LoadSpec
from hostler.engines.talking.exchange import Answer, Broken
from hostler.events import Bus, LeaseGranted, RequestQueued
from hostler.fleet.learning.defects import Judge, Probe, verdict
from hostler.fleet.learning.findings import TRIES, Finding, Findings
from hostler.fleet.learning.probing import Probing
from hostler.fleet.prompts.keeper import Keeper
from hostler.fleet.prompts.seat import Seat
from hostler.fleet.prompts.tenants import Tenancy
from hostler.fleet.recovery.ladder import NONE
from hostler.fleet.run import Run
from hostler.testing.specs import SPEC

pytestmark = pytest.mark.anyio

HERE = msgspec.structs.replace(SPEC, build="b1 0123")


def says(verdict: bool | None) -> Judge:
    return lambda status, body: verdict


FREE = Probe("misplaced_blame", "/free", {}, says(True), computes=False)
LONG = Probe("lost_role", "/long", {}, says(False))
MUTE = Probe("bare_responses", "/mute", {}, says(None))


class Yard:
    """An engine that notes what it is asked, and its run."""

    def __init__(self, folder: Path, *probes: Probe) -> None:
        self.folder = folder
        self.bus = Bus()
        self.findings = Findings(folder)
        self.asked: list[str] = []
        self.hold: anyio.Event | None = None
        self.busy = False
        self.broken = False
        self.probing = Probing(self.findings, lambda _: probes, self.bus, self.ask, pause_s=0.001)

    async def ask(self, endpoint: Endpoint, method: str, path: str, body: object) -> Answer:
        self.asked.append(path)
        if self.hold is not None:
            await self.hold.wait()
        if self.broken:
            raise Broken("gone")
        return Answer(200, b"{}")

    def run(self, spec: LoadSpec = HERE) -> Run:
        run = Run(spec, "k1", SystemClock(), None, NONE)
        run.endpoint = Endpoint("127.0.0.1", 1, "key")
        return run

    async def probed(self, run: Run | None = None) -> Run:
        """Let the run become ready, and wait until it is left alone."""
        run = run or self.run()
        with anyio.fail_after(5):
            async with anyio.create_task_group() as run.tasks:
                self.probing.begin(run, lambda: self.busy)
        return run

    async def until(self, condition: Callable[[], bool]) -> None:
        with anyio.fail_after(5):
            while not condition():
                await anyio.sleep(0.001)


async def test_a_build_is_asked_once_and_what_it_said_is_kept(tmp_path: Path) -> None:
    yard = Yard(tmp_path, FREE, LONG)
    run = await yard.probed()
    assert (yard.asked, run.sound) == (["/free", "/long"], {"misplaced_blame"})
    again = Yard(tmp_path, FREE, LONG)
    run = again.run()
    assert (await again.probed(run)).sound == {"misplaced_blame"}
    assert again.asked == []
    other = await again.probed(again.run(msgspec.structs.replace(SPEC, build="b2 4567")))
    assert (again.asked, other.sound) == (["/free", "/long"], {"misplaced_blame"})


async def test_what_is_no_build_of_ours_is_asked_nothing(tmp_path: Path) -> None:
    yard = Yard(tmp_path, FREE)
    program = msgspec.structs.replace(HERE, engine=EngineSettings(kind="command"))
    for spec in (SPEC, program):
        assert (await yard.probed(yard.run(spec))).sound == frozenset()
    assert yard.asked == []


@pytest.mark.parametrize(
    "event",
    [
        LeaseGranted(request="r", profile="coder", instance="coder-1", waited_s=0.0),
        RequestQueued(request="r", profile="other", position=1),
    ],
    ids=["granted", "queued"],
)
async def test_whoever_asks_ends_it_and_the_rest_is_asked_another_time(
    tmp_path: Path, event: LeaseGranted | RequestQueued
) -> None:
    yard = Yard(tmp_path, FREE, LONG)
    yard.hold = anyio.Event()
    async with anyio.create_task_group() as group:
        group.start_soon(yard.probed)
        await yard.until(lambda: yard.asked == ["/free"])
        yard.bus.publish(event)
    assert (yard.asked, yard.findings.of("b1 0123")) == (["/free"], {})
    yard.hold.set()
    assert (await yard.probed()).sound == {"misplaced_blame"}


async def test_it_waits_for_a_quiet_moment(tmp_path: Path) -> None:
    yard = Yard(tmp_path, FREE)
    yard.busy = True
    async with anyio.create_task_group() as group:
        group.start_soon(yard.probed)
        for _ in range(10):
            await anyio.lowlevel.checkpoint()
        assert yard.asked == []
        yard.busy = False
    assert yard.asked == ["/free"]


async def test_nobodys_words_are_lost_by_it(tmp_path: Path) -> None:
    yard = Yard(tmp_path, LONG, FREE)
    run = yard.run()
    clock = SystemClock()
    keeper = Keeper(tmp_path, KvSettings, Tenancy(str, lambda: "local"), yard.bus, clock)
    run.seat = Seat(keeper, yard.bus, HERE)
    assert run.seat.unused
    run.seat.enter("local", None)
    assert not run.seat.unused
    await yard.probed(run)
    assert yard.asked == ["/free"]
    assert yard.findings.of("b1 0123") == {"misplaced_blame": Finding(True, 1)}


async def test_a_slow_engine_is_not_made_to_compute(tmp_path: Path) -> None:
    yard = Yard(tmp_path, LONG, FREE)
    (first, *rest) = HERE.plan.speeds
    crawl = msgspec.structs.replace(first, decode=msgspec.structs.replace(first.decode, value=2.0))
    plan = msgspec.structs.replace(HERE.plan, speeds=(crawl, *rest))
    await yard.probed(yard.run(msgspec.structs.replace(HERE, plan=plan)))
    assert yard.asked == ["/free"]


async def test_who_never_says_anything_is_left_alone(tmp_path: Path) -> None:
    yard = Yard(tmp_path, MUTE)
    for _ in range(TRIES + 2):
        assert (await yard.probed()).sound == frozenset()
    assert len(yard.asked) == TRIES
    lost = Yard(tmp_path, LONG)
    lost.broken = True
    assert (await lost.probed()).sound == frozenset()
    assert lost.findings.of("b1 0123")["lost_role"] == Finding(None, 1)


async def test_a_judge_that_fails_costs_no_engine(tmp_path: Path) -> None:
    def fails(status: int, body: bytes) -> bool:
        raise ZeroDivisionError

    yard = Yard(tmp_path, FREE, Probe("lost_role", "/long", {}, fails))
    assert (await yard.probed()).sound == {"misplaced_blame"}


def test_a_defect_that_shows_once_is_there() -> None:
    assert verdict([True, False, None]) is False
    assert verdict([True, None]) is None
    assert verdict([True, True]) is True
