"""Saved prompts over the management API."""

from __future__ import annotations

import httpx
import pytest
from admin_fakes import World
from cache_fakes import FakePrompts

pytestmark = pytest.mark.anyio


async def test_what_is_kept_and_its_bounds(client: httpx.AsyncClient) -> None:
    status = (await client.get("/api/models/cache/status")).json()
    assert status["prompts"][0]["tokens"] == 4640
    assert (await client.get("/api/models/cache/settings")).json()["persist"] is True


@pytest.mark.parametrize(
    ("body", "wanted"), [(None, None), ({}, None), ({"profile": "coder"}, "coder")], ids=["none", "empty", "one"]
)
async def test_clearing(
    client: httpx.AsyncClient, prompts: FakePrompts, body: dict[str, str] | None, wanted: str | None
) -> None:
    answer = await client.post("/api/models/cache/clear", json=body)
    assert answer.status_code == 200
    assert answer.json() == {"prompts": 1, "bytes": 8}
    assert prompts.cleared == [wanted]


async def test_clearing_what_there_is_not(client: httpx.AsyncClient, prompts: FakePrompts) -> None:
    assert (await client.post("/api/models/cache/clear", json={"profile": "codex"})).status_code == 404
    assert (await client.post("/api/models/cache/clear", json={"profil": "coder"})).status_code == 400
    assert prompts.cleared == []


async def test_it_takes_a_key_that_manages(client: httpx.AsyncClient, world: World) -> None:
    key = world.keys.add("me", "inference")
    headers = {"authorization": f"Bearer {key}"}
    assert (await client.get("/api/models/cache/status", headers=headers)).status_code == 403
