"""Whatever changes something through the management API is written down; what only looks is not."""

from __future__ import annotations

from pathlib import Path

import anyio
import httpx
import pytest
from admin_fakes import World
from litestar.types import Message

from hostler.accounts.audit import FILE_NAME, Audit
from hostler.gateway.admin.noting import act

pytestmark = pytest.mark.anyio


@pytest.fixture
def audit(home: Path) -> Audit:
    return Audit(home / FILE_NAME)


async def test_acts_are_rows_with_who_and_how_they_were_answered(
    client: httpx.AsyncClient, world: World, audit: Audit, home: Path
) -> None:
    await client.post("/api/profiles/coder/load")
    await client.post("/api/load", json={"profile": "coder"})
    key = {"x-api-key": world.keys.add("me")}
    await client.post("/api/profiles/coder/unload", headers=key)
    await client.post("/api/profiles/nothing/switch", headers=key)
    await client.post("/api/gateway/reload", headers=key)
    rows = [(row.who, row.action, row.target, row.status) for row in reversed(audit.recent())]
    assert rows == [
        ("local", "load", "coder", 200),
        ("local", "load", "coder", 200),
        ("me", "unload", "coder", 200),
        ("me", "switch", "nothing", 404),
        ("me", "reload", "", 200),
    ]
    assert key["x-api-key"] not in (home / FILE_NAME).read_text()
    told = (await client.get("/api/audit?limit=1", headers=key)).json()
    assert [(row["action"], row["address"]) for row in told] == [("reload", "127.0.0.1")]


@pytest.mark.parametrize("body", [b'{"hold":' + b"[" * 60_000, b'{"profile":"\xff"}'])
async def test_a_body_that_cannot_be_read_is_a_row_too(client: httpx.AsyncClient, audit: Audit, body: bytes) -> None:
    assert (await client.post("/api/load", content=body)).status_code == 400
    assert [(row.action, row.target, row.status) for row in audit.recent()] == [("load", "", 400)]


async def test_looking_and_being_refused_is_no_act(client: httpx.AsyncClient, world: World, audit: Audit) -> None:
    await client.get("/api/profiles")
    user = {"x-api-key": world.keys.add("user", "inference")}
    assert (await client.post("/api/profiles/coder/load", headers=user)).status_code == 403
    assert (await client.post("/api/profiles/coder/load")).status_code == 401
    assert (await client.get("/api/audit", headers=user)).status_code == 403
    assert audit.recent() == []


async def test_a_request_that_is_cut_off_is_a_row_without_an_answer(audit: Audit, world: World) -> None:
    begun = anyio.Event()

    async def receive() -> Message:
        begun.set()
        await anyio.sleep_forever()
        raise AssertionError

    async def send(message: Message) -> None:
        raise AssertionError(message)

    assert world.app is not None
    scope = {
        "type": "http", "method": "POST", "path": "/api/load", "query_string": b"", "client": ("192.0.2.7", 5),
        "headers": [(b"host", b"localhost")],
    }  # fmt: skip
    async with anyio.create_task_group() as group:
        group.start_soon(world.app, scope, receive, send)
        await begun.wait()
        group.cancel_scope.cancel()
    (row,) = audit.recent()
    assert (row.action, row.status, row.address) == ("load", None, "192.0.2.7")


async def test_everything_that_changes_something_has_a_word(client: httpx.AsyncClient) -> None:
    paths = (await client.get("/api/schema")).json()["paths"]
    acts = [(method.upper(), path.replace("{", "").replace("}", "")) for path in paths for method in paths[path]]
    changing = [(method, path) for method, path in acts if method != "GET"]
    assert len(changing) > 10
    assert [each for each in changing if act(*each, b"")[0].startswith(each[0])] == []


@pytest.mark.parametrize(
    ("method", "path", "body", "told"),
    [
        ("POST", "/api/profiles/hf.co/a/b:Q4/load", b"", ("load", "hf.co/a/b:Q4")),
        ("DELETE", "/api/load/hold-1", b"", ("end hold", "hold-1")),
        ("POST", "/api/load", b"{", ("load", "")),
        ("POST", "/api/load", b'{"profile": 1}', ("load", "")),
        ("POST", "/api/requests/req-1/cancel", b"", ("cancel", "req-1")),
        ("POST", "/api/models/cache/clear", b'{"profile":"a"}', ("clear prompts", "a")),
        ("POST", "/api/models/warmup/a/benchmark", b"", ("benchmark", "a")),
        ("POST", "/api/models/warmup/a/b", b"", ("warm up", "a/b")),
        ("PUT", "/api/something/new", b"", ("PUT /api/something/new", "")),
    ],
)
async def test_what_a_request_does(method: str, path: str, body: bytes, told: tuple[str, str]) -> None:
    assert act(method, path, body) == told
