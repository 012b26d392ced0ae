"""A fleet on a scripted runner: engines do what the test says, when it says so."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import msgspec

from hostler.clock import SystemClock
from hostler.config.settings import EngineSettings, LimitSettings, MemorySettings, Profile, Rung, Task
from hostler.engines.protocol import Buffer, Endpoint, LoadSpec, Progress, Ready, Report, Stage, Started
from hostler.errors import EngineLost, HostlerError, ModelError, NeverFits, OutOfMemory, Shortage
from hostler.events import AnyEvent, Bus
from hostler.fleet.learning.experience import Experience
from hostler.fleet.learning.pace import Condition
from hostler.fleet.learning.watch import Eyes
from hostler.fleet.memory import Budget, DeviceReading
from hostler.fleet.owner import FleetOwner
from hostler.fleet.preparer import Preparer
from hostler.fleet.protocol import Timing
from hostler.fleet.recovery.ladder import Changes
from hostler.fleet.scheduling.messages import Want
from hostler.placement.wish import wish_of
from hostler.testing.specs import SHAPE, SPEC, on_host

GIB = 2**30


def ran_out(profile: str) -> OutOfMemory:
    """As an engine fails that got no memory."""
    error = OutOfMemory(f"The engine of `{profile}` could not get 512 MiB of memory on host.")
    error.shortage = Shortage("host", 0)
    return error


class ScriptedRunner:
    """A Runner without processes."""

    def __init__(self) -> None:
        self.running: dict[str, LoadSpec] = {}
        self.loads: list[str] = []
        self.hold: set[str] = set()
        self.fail: dict[str, HostlerError] = {}
        self.refuse: dict[str, HostlerError] = {}
        self.bugs: set[str] = set()
        self.largest_ubatch: dict[str, int] = {}
        self.buffers: tuple[Buffer, ...] = ()
        self.busy: dict[str, int | None] = {}
        self.crash: dict[str, asyncio.Event] = {}
        self.release: dict[str, asyncio.Event] = {}
        self.error: HostlerError = ModelError("unset")
        self.prepare: anyio.Event | None = None
        self.preparing = 0
        self.progresses: Callable[[int], Progress | None] | None = lambda looks: None
        self.looked = self.probed = self.asked = 0
        self.mute = False
        self.silent: EngineLost | None = None
        self.argv: tuple[str, ...] = ("engine",)

    async def preflight(self, spec: LoadSpec) -> None:
        self.preparing += 1
        if self.prepare is not None:
            await self.prepare.wait()
        if error := self.refuse.get(spec.profile):
            raise error

    async def run(self, spec: LoadSpec, report: Callable[[Report], None]) -> None:
        self.running[spec.instance] = spec
        self.loads.append(spec.profile)
        crash = self.crash[spec.profile] = asyncio.Event()
        try:
            if spec.profile in self.bugs:
                raise OSError("no such device")
            report(Started(4242, (*self.argv, spec.profile)))
            report(Stage("loading tensors"))
            if spec.profile in self.hold:
                self.release[spec.profile] = asyncio.Event()
                await self.release[spec.profile].wait()
            await asyncio.sleep(0)
            if error := self.fail.get(spec.profile):
                raise error
            if spec.plan.run.ubatch > self.largest_ubatch.get(spec.profile, sys.maxsize):
                raise ran_out(spec.profile)
            for buffer in self.buffers:
                report(buffer)
            report(Ready(Endpoint("127.0.0.1", 1, "key"), 100.0))
            await crash.wait()
            raise self.error
        finally:
            del self.running[spec.instance]

    async def slots_busy(self, endpoint: Endpoint) -> int | None:
        return self.busy.get("all", 0)

    async def answers(self, endpoint: Endpoint) -> None:
        self.asked += 1
        if self.silent is not None:
            raise self.silent

    async def progress(self, endpoint: Endpoint) -> Progress | None:
        if self.progresses is None:
            raise EngineLost("It does not answer.")
        self.looked += 1
        return self.progresses(self.looked)

    async def probe(self, endpoint: Endpoint, task: Task) -> float | None:
        self.probed += 1
        if self.mute:
            raise EngineLost("It answered with 500.")
        return None

    def resident_bytes(self, pid: int, spec: LoadSpec) -> dict[str, int] | None:
        return dict(spec.bytes)


class World:
    """The fleet, its runner and everything it published."""

    def __init__(self, folder: Path, needs: dict[str, int], budget: int, limits: LimitSettings) -> None:
        self.needs = needs
        self.keys = dict.fromkeys(needs, "k1")
        self.pins: set[str] = set()
        self.rungs: tuple[Rung, ...] = ("ubatch", "context")
        self.build = "b1"
        self.refuse_ubatch = 0
        self.conditions: dict[str, Condition] = {}
        self.throttled: dict[str, tuple[str, ...]] = {}
        self.taught: list[tuple[str, int]] = []
        self.runner = ScriptedRunner()
        self.bus = Bus()
        self.experience = Experience(folder)
        self.measurements = self.experience.measurements
        self.reading = {"host": DeviceReading(budget, budget, 0)}
        self.fleet = FleetOwner(
            runner=self.runner,
            preparer=Preparer(self.spec, self.wanted, lambda name: self.keys.get(name, "")),
            budget=Budget(MemorySettings(reserve=0), lambda engines: self.reading),
            experience=self.experience,
            limits=limits,
            bus=self.bus,
            clock=SystemClock(),
            eyes=Eyes(
                conditions=lambda: self.conditions,
                throttled=lambda: self.throttled,
                teach=self.teach,
                settle_s=0.0,
            ),
        )

    def teach(self, spec: LoadSpec, timings: Sequence[Timing]) -> None:
        self.taught.append((spec.profile, len(timings)))

    def wanted(self) -> dict[str, tuple[str, bool, float | None]]:
        return {name: (key, name in self.pins, None) for name, key in self.keys.items()}

    def spec(self, profile: str, changes: Changes) -> tuple[LoadSpec, Want]:
        need = {"host": self.needs[profile]}
        changed = changes.profile(Profile(model="small", context=16384, engine=EngineSettings(batch=512, ubatch=512)))
        wish = wish_of(changed, SHAPE, task="chat")
        if wish.ubatch == self.refuse_ubatch:
            raise NeverFits("It needs more than there is.")
        plan = on_host(wish)
        spec = msgspec.structs.replace(
            SPEC, instance="", profile=profile, bytes=need, plan=plan, build=self.build, rungs=self.rungs
        )
        want = Want(key=self.keys[profile], need=need, slots=1, pin=profile in self.pins, ttl_s=None)
        return spec, want

    def states(self) -> dict[str, str]:
        return {i.profile: i.state for i in self.fleet.instances()}

    def events(self, kind: type[AnyEvent]) -> list[AnyEvent]:
        return [event for event in self.bus.since(0) if isinstance(event, kind)]

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for a condition that other tasks bring about."""
        with anyio.fail_after(10):
            while not condition():
                await anyio.sleep(0.001)


@asynccontextmanager
async def world(
    folder: Path, needs: dict[str, int], budget: int = 10 * GIB, limits: LimitSettings | None = None
) -> AsyncIterator[World]:
    """A running fleet over ``needs`` (bytes by profile); every engine is gone afterwards."""
    made = World(folder, needs, budget, limits or LimitSettings())
    async with anyio.create_task_group() as group:
        await group.start(made.fleet.run)
        yield made
        group.cancel_scope.cancel()
    assert not made.runner.running
