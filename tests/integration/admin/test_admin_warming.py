"""Warm-ups over the management API."""

from __future__ import annotations

import httpx
import pytest

pytestmark = pytest.mark.anyio

SLASHED = "hf.co/owner/Tiny-GGUF:Q4_K_M"


async def test_warming_and_its_status(client: httpx.AsyncClient) -> None:
    assert (await client.get("/api/models/warmup/status")).json() == []
    done = (await client.post("/api/models/warmup/coder")).json()
    assert (done["profile"], done["state"], done["loaded"]) == ("coder", "done", True)
    begun = (await client.post(f"/api/models/warmup/{SLASHED}?async=1")).json()
    assert (begun["profile"], begun["state"]) == (SLASHED, "running")
    states = {each["profile"]: each["state"] for each in (await client.get("/api/models/warmup/status")).json()}
    assert states == {"coder": "done", SLASHED: "running"}


@pytest.mark.parametrize("name", ["coder", SLASHED])
async def test_comparing_cold_and_warm(client: httpx.AsyncClient, name: str) -> None:
    compared = (await client.post(f"/api/models/warmup/{name}/benchmark")).json()
    assert compared["profile"] == name
    assert {"load_s", "first_s", "tokens_per_s"} == set(compared["cold"]) == set(compared["warm"])


async def test_a_profile_that_there_is_not(client: httpx.AsyncClient) -> None:
    assert (await client.post("/api/models/warmup/nothing")).status_code == 404
    assert (await client.post("/api/models/warmup/nothing/benchmark")).status_code == 404
