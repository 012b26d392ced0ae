"""Load modes over the management API."""

from __future__ import annotations

import httpx
import pytest

pytestmark = pytest.mark.anyio


async def test_comparing_and_its_status(client: httpx.AsyncClient) -> None:
    assert (await client.get("/api/models/mmap/status")).json() == {"chosen": [], "comparisons": []}
    done = (await client.post("/api/models/mmap/benchmark", json={"profile": "coder"})).json()
    assert (done["profile"], done["state"], done["chosen"]) == ("coder", "done", "mmap")
    assert {"load_s", "gb_per_s", "held"} == set(done["modes"][0]["cold"]) == set(done["modes"][0]["warm"])
    [known] = (await client.get("/api/models/mmap/status")).json()["comparisons"]
    assert known == done


async def test_comparing_in_the_background(client: httpx.AsyncClient) -> None:
    slashed = "hf.co/owner/Tiny-GGUF:Q4_K_M"
    begun = (await client.post("/api/models/mmap/benchmark?async=1", json={"profile": slashed})).json()
    assert (begun["profile"], begun["state"]) == (slashed, "running")


async def test_a_profile_that_there_is_not(client: httpx.AsyncClient) -> None:
    assert (await client.post("/api/models/mmap/benchmark", json={"profile": "nothing"})).status_code == 404
    assert (await client.post("/api/models/mmap/benchmark", json={})).status_code == 400
