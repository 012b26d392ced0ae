"""A gateway tells of its machine: what it has, and how it is doing."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest
from gateway_process import Home, RunningGateway, eventually

from hostler.client.gateway import Client
from hostler.errors import NotFound
from hostler.hardware.facts import Machine
from hostler.wire.hardware import DeviceMetrics

pytestmark = pytest.mark.anyio


async def test_the_machine_and_its_telemetry(gateway: Callable[..., RunningGateway], place: Home) -> None:
    running = gateway(place.fake("coder"))
    async with Client(running.url) as client:
        machine = await client.hardware()
        assert machine.host.total > 0
        assert not machine.described

        async def two_readings() -> DeviceMetrics | None:
            found = {device.device: device for device in (await client.metrics("host")).devices}
            return found["host"] if found and len(found["host"].history.at) > 1 else None

        host = await eventually(two_readings, "two readings of the host")
        assert host.now is not None
        assert host.present
        assert 0 < (host.now.used or 0) <= host.total
        assert [device.id for device in machine.devices] == [d.device for d in (await client.metrics()).devices]
        with pytest.raises(NotFound):
            await client.metrics("gpu99")
    alone = msgspec.json.decode(running.cli("hardware", "--json").out, type=Machine)
    assert alone.fingerprint == machine.fingerprint
