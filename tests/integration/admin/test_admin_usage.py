"""Usage over the management API."""

from __future__ import annotations

import csv
import io

import anyio
import anyio.lowlevel
import httpx
import msgspec
import pytest
from admin_fakes import NAMES, World
from litestar.types import Message

from hostler.wire.management import RequestRecord

pytestmark = pytest.mark.anyio


async def test_sums_by_what_is_asked(client: httpx.AsyncClient) -> None:
    used = (await client.get("/api/usage", params={"by": "key", "since": 1.5, "until": 2.5})).json()
    assert (used["by"], used["since"], used["until"]) == ("key", 1.5, 2.5)
    assert used["rows"][0]["name"] == "smollm2"
    assert (await client.get("/api/usage", params={"by": "phase-of-moon"})).status_code == 400


async def test_every_request_as_a_file(client: httpx.AsyncClient) -> None:
    lines = (await client.get("/api/usage/requests")).text.splitlines()
    told = [msgspec.json.decode(line, type=RequestRecord) for line in lines]
    assert tuple(row.profile for row in told) == NAMES
    answer = await client.get("/api/usage/requests", params={"format": "csv"})
    assert answer.headers["content-type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert tuple(row["profile"] for row in rows) == NAMES
    assert tuple(rows[0]) == RequestRecord.__struct_fields__


async def test_it_takes_a_key_that_manages(client: httpx.AsyncClient, world: World) -> None:
    headers = {"authorization": f"Bearer {world.keys.add('me', 'inference')}"}
    for path in ("/api/usage", "/api/usage/requests"):
        assert (await client.get(path, headers=headers)).status_code == 403


@pytest.mark.parametrize("form", ["jsonl", "csv"])
async def test_an_export_goes_as_fast_as_it_is_read_and_ends_with_its_reader(world: World, form: str) -> None:
    """However large the ledger is, a page of it is in memory."""
    world.history.endless = True
    assert world.app is not None
    left, read = anyio.Event(), 0

    async def receive() -> Message:
        await left.wait()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        nonlocal read
        read += 1
        assert world.history.pages <= read
        if read == 50:
            left.set()
        await anyio.lowlevel.checkpoint()

    scope = {
        "type": "http", "method": "GET", "path": "/api/usage/requests", "query_string": f"format={form}".encode(),
        "headers": [(b"host", b"localhost")], "client": ("127.0.0.1", 5),
    }  # fmt: skip
    with anyio.fail_after(20):
        await world.app(scope, receive, send)
        await world.history.closed.wait()
    assert read >= 50
