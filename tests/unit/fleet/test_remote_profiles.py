"""Remotes in the fleet: there at once, on no device, in nobody's way, and their keys nowhere to be seen."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import msgspec
import pytest

from hostler.clock import SystemClock
from hostler.config.load import parse, show
from hostler.config.settings import LimitSettings, MemorySettings
from hostler.engines.protocol import Endpoint, LoadSpec, Progress, Ready, Report
from hostler.engines.remote import Remotes
from hostler.errors import ModelError, RemoteKeyMissing
from hostler.events import Bus
from hostler.fleet.learning.experience import Experience
from hostler.fleet.memory import Budget, DeviceReading
from hostler.fleet.owner import FleetOwner
from hostler.fleet.preparer import Preparer
from hostler.fleet.profiles.catalogue import ProfileCatalogue
from hostler.fleet.recovery.doubts import UNREACHED
from hostler.models.library import Library
from hostler.testing.gguf_files import write_tiny_gguf

pytestmark = pytest.mark.anyio

KEY = "sk-secret-0123456789"
CONFIG = """
[profiles.cloud]
model = "tiny.gguf"

[profiles.cloud.engine]
kind = "remote"
url = "https://api.example.com"
speaks = "anthropic"
key_env = "CLOUD_KEY"

[profiles.here]
model = "x"
task = "chat"
context = 4096
engine = { kind = "command", argv = ["serve", "${PORT}"], memory = { host = 1000 } }
"""


class Both:
    """Remotes as they are; what runs here is ready at once too."""

    def __init__(self, environ: dict[str, str]) -> None:
        self._remotes = Remotes(environ)
        self.asked = 0

    async def preflight(self, spec: LoadSpec) -> None:
        if spec.engine.kind == "remote":
            await self._remotes.preflight(spec)

    async def run(self, spec: LoadSpec, report: Callable[[Report], None]) -> None:
        if spec.engine.kind == "remote":
            await self._remotes.run(spec, report)
        report(Ready(Endpoint("127.0.0.1", 1, "key")))
        await anyio.sleep_forever()

    async def slots_busy(self, endpoint: Endpoint) -> int | None:
        self.asked += 1
        return 0

    async def answers(self, endpoint: Endpoint) -> None:
        return None

    async def progress(self, endpoint: Endpoint) -> Progress | None:
        return None

    async def probe(self, endpoint: Endpoint, task: str) -> float | None:
        return None

    def resident_bytes(self, pid: int, spec: LoadSpec) -> dict[str, int] | None:
        return None


class World:
    def __init__(self, folder: Path, environ: dict[str, str]) -> None:
        write_tiny_gguf(folder / "tiny.gguf")
        self.loaded = parse(CONFIG, folder / "hostler.toml")
        clock = SystemClock()
        self.catalogue = ProfileCatalogue(
            self.loaded.config, lambda _: Library(folder, (), False, {}), clock, lambda: None
        )
        self.bus = Bus()
        self.runner = Both(environ)
        self.fleet = FleetOwner(
            runner=self.runner,
            preparer=Preparer(self.catalogue.spec, self.catalogue.wanted, self.catalogue.key),
            budget=Budget(MemorySettings(reserve=0), lambda _: {"host": DeviceReading(1500, 1500, 0)}),
            experience=Experience(folder),
            limits=LimitSettings(),
            bus=self.bus,
            clock=clock,
        )


def everything(folder: Path) -> list[Path]:
    return [file for file in folder.rglob("*") if file.is_file()]


@asynccontextmanager
async def world(folder: Path, environ: dict[str, str] | None = None) -> AsyncIterator[World]:
    made = World(folder, {"CLOUD_KEY": KEY} if environ is None else environ)
    await made.catalogue.refresh()
    async with anyio.create_task_group() as group:
        await group.start(made.fleet.run)
        yield made
        group.cancel_scope.cancel()


async def test_it_is_there_at_once_and_takes_no_room(tmp_path: Path) -> None:
    async with world(tmp_path) as one:
        await one.fleet.load("cloud")
        await one.fleet.load("here")
        cloud, here = one.fleet.instances()
        assert (cloud.state, cloud.remote, cloud.bytes, cloud.pid) == ("ready", "api.example.com", {}, None)
        assert (cloud.slots, cloud.leaves, cloud.why) == (64, None, "runs elsewhere and takes no room here")
        assert (here.remote, here.leaves) == (None, 1)


async def test_a_switch_leaves_it(tmp_path: Path) -> None:
    async with world(tmp_path) as one:
        await one.fleet.load("cloud")
        assert await one.fleet.switch("here") == ()
        assert await one.fleet.switch("cloud") == ("here",)
        assert await one.fleet.unload("cloud")


async def test_a_slot_is_free_when_its_client_has_left(tmp_path: Path) -> None:
    async with world(tmp_path) as one:
        await one.fleet.load("cloud")
        lease = one.fleet.lease_now("cloud", "r1", "local", "chat")
        assert lease is not None
        assert lease.endpoint.remote is not None
        lease.end(499, abandoned="silent")
        assert one.fleet.instances()[0].leases == 0
        assert one.runner.asked == 0


async def test_one_that_could_not_be_reached_says_so_until_it_answers(tmp_path: Path) -> None:
    async with world(tmp_path) as one:
        await one.fleet.load("cloud")
        for status in (502, 499, 200):
            lease = one.fleet.lease_now("cloud", f"r{status}", "local", "chat")
            assert lease is not None
            if status == 502:
                lease.doubt()
            lease.end(status)
            cloud = one.fleet.instances()[0]
            assert cloud.notes == (() if status == 200 else (UNREACHED,))
            assert not cloud.warm


async def test_without_its_key_it_is_not_loaded(tmp_path: Path) -> None:
    async with world(tmp_path, {}) as one:
        with pytest.raises(RemoteKeyMissing, match="CLOUD_KEY"):
            await one.fleet.load("cloud")
        assert one.fleet.instances() == []


async def test_its_model_is_no_file_though_one_is_called_so(tmp_path: Path) -> None:
    async with world(tmp_path) as one:
        served = one.catalogue.resolve("cloud")
        assert (served.speaks, served.called, served.context) == ("anthropic", "tiny.gguf", 131072)
        assert served.abilities == {"tools", "images", "reasoning"}
        entries = {entry.name: entry for entry in one.catalogue.entries()}
        assert (entries["cloud"].model, entries["cloud"].problem, entries["cloud"].task) == (None, None, "chat")
        assert not entries["tiny"].profile.hidden
        assert one.catalogue.files("cloud") == ()
        with pytest.raises(ModelError, match="runs elsewhere"):
            one.catalogue.plan("cloud")


async def test_its_key_is_shown_nowhere(tmp_path: Path) -> None:
    async with world(tmp_path) as one:
        await one.fleet.load("cloud")
        lease = one.fleet.lease_now("cloud", "r1", "local", "chat")
        assert lease is not None
        lease.end(200)
        told = [msgspec.json.encode(one.fleet.instances()), str(one.bus.since(0)).encode()]
        told += [file.read_bytes() for file in everything(tmp_path)]
        assert KEY.encode() not in b"".join(told)
        assert KEY not in str(show(one.loaded))
