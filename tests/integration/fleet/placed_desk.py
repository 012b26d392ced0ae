"""A fleet on a described desktop with two cards: real processes, plans and evictions; nothing computes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import psutil
from msgspec.structs import replace

from hostler.clock import SystemClock
from hostler.config.settings import Config, EngineSettings, LimitSettings, MemorySettings, Profile
from hostler.engines.builds import Builds
from hostler.engines.llamacpp import LlamaCpp
from hostler.engines.protocol import RunnerSettings
from hostler.events import Bus, Swap
from hostler.fleet.learning.experience import Experience
from hostler.fleet.memory import Budget, DeviceReading
from hostler.fleet.owner import FleetOwner
from hostler.fleet.preparer import Preparer
from hostler.fleet.profiles.catalogue import ProfileCatalogue
from hostler.fleet.profiles.planning import World
from hostler.hardware import machines
from hostler.models.library import Library
from hostler.testing.builds import write_build
from hostler.testing.zoo import GLM_4_7_FLASH, GPT_OSS_120B, LLAMA_3_1_8B, QWEN3_5_27B

GIB = 2**30
WITHIN_S = 30
DESKTOP = machines.load("rtx4090-5070ti")


def read(_: Iterable[int]) -> dict[str, DeviceReading]:
    """The cards as they are described; the processes here hold nothing on them."""
    return {
        device.id: DeviceReading(device.total, device.free, 0, device if device.kind != "host" else None)
        for device in DESKTOP.devices
    }


class Desk:
    """A fleet on the described desktop, with a build that can use both cards."""

    def __init__(self, folder: Path, profiles: dict[str, Profile], **switches: bool | int | float | str) -> None:
        build = write_build(folder / "build", **switches)
        engine = EngineSettings(build=str(build))
        self.models = folder / "models"
        self.models.mkdir()
        self.config = Config(
            profiles={
                name: replace(profile, engine=replace(engine, extra_args=profile.engine.extra_args))
                for name, profile in profiles.items()
            }
        )
        self.builds = Builds(folder / "cache")
        self.bus = Bus()
        settings = RunnerSettings(
            limits=LimitSettings(), logs=folder / "logs", state=folder / "state", cache=folder / "cache"
        )
        world = World(
            machine=lambda: DESKTOP,
            rooms=lambda anew: self.fleet.look() if anew else self.fleet.budget.rooms,
            build=self.builds.remembered,
            residents=lambda: self.fleet.residents(),
        )
        self.catalogue = ProfileCatalogue(
            self.config, lambda _: Library(self.models, (), False, {}), SystemClock(), lambda: None, world=world
        )
        self.fleet = FleetOwner(
            runner=LlamaCpp(settings, self.builds),
            preparer=Preparer(self.catalogue.spec, self.catalogue.wanted, self.catalogue.key, self.probe),
            budget=Budget(MemorySettings(), read),
            experience=Experience(folder / "state"),
            limits=LimitSettings(),
            bus=self.bus,
            clock=SystemClock(),
        )

    async def probe(self, profile: str) -> None:
        await self.builds.get(self.catalogue.build(profile))

    async def load(self, profile: str) -> None:
        with anyio.fail_after(WITHIN_S):
            await self.fleet.load(profile)

    def argv(self, profile: str) -> tuple[str, ...]:
        return next(each.argv for each in self.fleet.instances() if each.profile == profile)

    def value(self, profile: str, flag: str) -> str | None:
        argv = self.argv(profile)
        return argv[argv.index(flag) + 1] if flag in argv else None

    def environment(self, profile: str) -> dict[str, str]:
        pid = next(each.pid for each in self.fleet.instances() if each.profile == profile)
        return psutil.Process(pid).environ()

    def resident(self) -> set[str]:
        return {each.profile for each in self.fleet.instances() if each.state == "ready"}

    def evicted(self) -> list[tuple[str, tuple[str, ...]]]:
        return [(event.profile, event.evicted) for event in self.bus.since(0) if isinstance(event, Swap)]


@asynccontextmanager
async def desk(
    folder: Path, profiles: dict[str, Profile], devices: str = "CUDA0,CUDA1", **switches: bool | int | float | str
) -> AsyncIterator[Desk]:
    """The fleet, running; ``switches`` are those of the fake engine."""
    made = Desk(folder, profiles, devices=devices, **switches)
    for model, recipe in (
        (GLM_4_7_FLASH, "Q4_K_M"), (GPT_OSS_120B, "MXFP4"), (LLAMA_3_1_8B, "Q8_0"), (QWEN3_5_27B, "Q6_K"),
    ):  # fmt: skip
        model.write(made.models, recipe)
    await made.catalogue.open()
    async with anyio.create_task_group() as group:
        await group.start(made.fleet.run)
        yield made
        group.cancel_scope.cancel()
