"""`/api/hardware` and its telemetry."""

from __future__ import annotations

import httpx
import msgspec
import pytest

from hostler.hardware.facts import Machine
from hostler.wire.hardware import Metrics

pytestmark = pytest.mark.anyio


async def test_the_machine(client: httpx.AsyncClient) -> None:
    answer = await client.get("/api/hardware")
    machine = msgspec.json.decode(answer.content, type=Machine)
    assert [device.id for device in machine.devices] == ["gpu0", "host"]
    assert machine.devices[0].compute_capability == (8, 9)


async def test_metrics(client: httpx.AsyncClient) -> None:
    answer = await client.get("/api/hardware/gpu/metrics", params={"device": "gpu0", "seconds": 60})
    assert msgspec.json.decode(answer.content, type=Metrics).devices[0].now is not None


@pytest.mark.parametrize(("asked", "status"), [("device=gpu9", 404), ("seconds=901", 400), ("seconds=x", 400)])
async def test_what_there_is_not(client: httpx.AsyncClient, asked: str, status: int) -> None:
    answer = await client.get(f"/api/hardware/gpu/metrics?{asked}")
    assert answer.status_code == status
    assert answer.json()["error"]["message"]
