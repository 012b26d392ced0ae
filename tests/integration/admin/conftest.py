"""The management application over fakes of its collaborators."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import httpx
import pytest
from admin_fakes import FakeCatalogue, FakeFleet, FakeHardware, FakeHistory, FakeLogs, World
from cache_fakes import FakePrompts
from warm_fakes import FakeLoadModes, FakeWarming

from hostler.accounts.audit import FILE_NAME, Audit
from hostler.accounts.keys import Keyring
from hostler.clock import ManualClock
from hostler.events import Bus
from hostler.gateway.admin.app import build
from hostler.gateway.admin.services import Services


@pytest.fixture
def prompts() -> FakePrompts:
    return FakePrompts()


@pytest.fixture
def world(home: Path, prompts: FakePrompts) -> World:
    fleet = FakeFleet()
    keys = Keyring.load(home / "keys.json")
    world = World(
        fleet=fleet,
        catalogue=FakeCatalogue(),
        history=FakeHistory(),
        logs=FakeLogs(),
        bus=Bus(ManualClock(), ring=100),
        closing=anyio.Event(),
        keys=keys,
    )
    world.app = build(
        Services(
            fleet=fleet,
            catalogue=world.catalogue,
            bus=world.bus,
            history=world.history,
            hardware=FakeHardware(),
            prompts=prompts,
            warming=FakeWarming(),
            load_modes=FakeLoadModes(),
            logs=world.logs,
            closing=world.closing,
            keys=keys,
            authenticate=keys.authenticate,
            status=world.status,
            reload=world.reload,
            plan=world.plan,
            config=world.config,
            log_file=lambda profile: Path(f"/logs/{profile or 'hostler'}.log"),
            heartbeat_s=0.01,
            audit=Audit(home / FILE_NAME),
        )
    )
    return world


@pytest.fixture
async def client(world: World, anyio_backend: str) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app=world.app, raise_app_exceptions=False)  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:4785") as client:
        yield client
