"""Keys are made and removed by command while the gateway runs."""

from __future__ import annotations

import pytest
from gateway_process import eventually

pytestmark = pytest.mark.anyio


async def test_keys_come_and_go_without_a_restart(gateway, place) -> None:
    running = gateway(place.fake("coder"))
    assert running.cli("ls").code == 0
    made = running.cli("key", "new", "me", "--scope", "admin")
    assert made.code == 0
    key = {"authorization": f"Bearer {made.out.strip()}"}

    async def status(headers) -> int:
        return (await running.get("/v1/models", headers)).status

    async def refused() -> bool:
        return await status(None) == 401

    await eventually(refused, "the first key is needed")
    assert await status(key) == 200
    told = running.cli("ls")
    assert told.code == 1
    assert "Set HOSTLER_KEY" in told.err

    user = {"x-api-key": running.cli("key", "new", "laptop", "--json").json["key"]}

    async def known() -> bool:
        return await status(user) == 200

    await eventually(known, "a further key is taken")
    assert (await running.get("/api/gateway", user)).status == 403
    assert (await running.get("/api/gateway", key)).status == 200

    assert running.cli("key", "rm", "laptop").code == 0

    async def forgotten() -> bool:
        return await status(user) == 401

    await eventually(forgotten, "a removed key is refused")
    assert running.cli("key", "rm", "me").code == 0

    async def opened() -> bool:
        return await status(None) == 200

    await eventually(opened, "on loopback nothing is needed without keys")
    assert made.out.strip() not in running.logged()
