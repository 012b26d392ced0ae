"""Every management route, as its own document lists them, is for those alone who may manage."""

from __future__ import annotations

import httpx
import msgspec
import pytest
from admin_fakes import World

from hostler.accounts.keys import Bounds
from hostler.wire.management import ProblemBody

pytestmark = pytest.mark.anyio

PLACES = {"name": "coder", "instance_id": "coder-1", "request_id": "req-1", "hold_id": "hold-1", "device": "gpu0"}
#: Not in the document.
OTHERS = [("get", "/api/events/schema"), ("get", "/api"), ("get", "/api/nothing"), ("put", "/api/gateway")]


async def routes(client: httpx.AsyncClient) -> list[tuple[str, str]]:
    paths = (await client.get("/api/schema")).json()["paths"]
    named = [(method, path.format(**PLACES)) for path, item in paths.items() for method in item]
    assert len(named) > 30
    return [*named, *OTHERS, *(("head", path) for method, path in named if method == "get")]


async def test_no_route_answers_whoever_may_not_manage(client: httpx.AsyncClient, world: World) -> None:
    every = await routes(client)
    over, user = Bounds(expires=1.0), world.keys.add("user", "inference")
    sent = {
        "": 401,
        "hostler-wrong": 401,
        world.keys.add("over", "admin", over): 401,
        world.keys.add("boss", "admin")[:-1]: 401,
        user: 403,
    }
    for key, status in sent.items():
        for headers in ({"authorization": f"Bearer {key}"}, {"x-api-key": key}):
            for method, path in every:
                answer = await client.request(method, path, headers=headers)
                assert answer.status_code == status, (method, path, key, answer.text)
                if method != "head":
                    told = msgspec.json.decode(answer.content, type=ProblemBody).error
                    assert told.hint
                    assert told.code == {401: "unauthorized", 403: "forbidden"}[status]
                assert ("www-authenticate" in answer.headers) == (status == 401)
    assert world.fleet.asked == []


async def test_without_keys_the_local_operator_may_and_a_rebound_name_may_not(client: httpx.AsyncClient) -> None:
    for method, path in await routes(client):
        if path not in ("/api/events", "/api/logs"):
            answer = await client.request(method, path, headers={"host": "evil.example"})
            assert answer.status_code == 403, (method, path)
