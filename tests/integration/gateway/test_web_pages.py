"""What web pages of other origins may do, over real connections."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from gateway_fakes import EngineSide, Gateway, Heard, gateway_with

from hostler.accounts.keys import Keyring

pytestmark = pytest.mark.anyio

CHAT = {"model": "tiny", "messages": []}
PAGE = "https://chat.example"
ORIGIN = f"Origin: {PAGE}\r\n"
PREFLIGHT = f"{ORIGIN}Access-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: authorization\r\n"


@pytest.fixture
async def open_to(keys: Keyring) -> AsyncIterator[Gateway]:
    """A gateway that one page may use."""
    async with gateway_with(keys, cors=(PAGE,)) as gateway:
        yield gateway


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages", "/v1/models", "/api/gateway"])
async def test_by_default_no_page_is_named(gateway: Gateway, path: str) -> None:
    answer = await (await gateway.client()).get(path, PREFLIGHT, method="OPTIONS")
    assert not [name for name in answer.headers if name.startswith("access-control-")]
    refused = await gateway.ask(CHAT, headers=ORIGIN)
    assert (refused.status, refused.json()["error"]["code"]) == (403, "forbidden")
    assert gateway.engine.heard == []


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages", "/v1/models", "/api/gateway"])
async def test_a_preflight_needs_no_key(open_to: Gateway, keys: Keyring, path: str) -> None:
    keys.add("me")
    answer = await (await open_to.client()).get(path, PREFLIGHT, method="OPTIONS")
    assert (answer.status, answer.body) == (204, b"")
    assert answer.headers["access-control-allow-origin"] == PAGE
    assert answer.headers["access-control-allow-headers"] == "authorization"
    assert ("POST" in answer.headers["access-control-allow-methods"]) == (path != "/v1/models")


async def test_answers_streams_lists_and_errors_name_the_page(open_to: Gateway) -> None:
    async def stream(_: Heard, side: EngineSide) -> None:
        await side.stream_head()
        await side.stream_end()

    client = await open_to.client()
    answers = [
        await client.ask(CHAT, headers=ORIGIN),
        await client.ask({"model": "nothing"}, headers=ORIGIN),
        await client.get("/v1/models", ORIGIN),
        await client.get("/v1/models/nothing", ORIGIN),
    ]
    open_to.engine.script = stream
    answers.append(await client.ask({**CHAT, "stream": True}, headers=ORIGIN))
    assert [answer.status for answer in answers] == [200, 404, 200, 404, 200]
    assert {answer.headers.get("access-control-allow-origin") for answer in answers} == {PAGE}
    assert all("x-request-id" in answer.headers["access-control-expose-headers"] for answer in answers)


async def test_another_page_is_not_named(open_to: Gateway, keys: Keyring) -> None:
    other = "Origin: https://evil.example\r\n"
    assert (await open_to.ask(CHAT, headers=other)).status == 403
    key = f"x-api-key: {keys.add('me', 'inference')}\r\n"
    answer = await open_to.ask(CHAT, headers=other + key)
    assert answer.status == 200
    assert "access-control-allow-origin" not in answer.headers
    assert answer.headers["vary"] == "Origin"


async def test_of_all_pages_none_manages_by_paths_of_other_apis(keys: Keyring) -> None:
    """`*` let a page remove models by Ollama's API and read the metrics: neither lies where management does."""
    async with gateway_with(keys, cors=("*",)) as gateway:
        client = await gateway.client()
        assert (await client.ask(CHAT, headers=ORIGIN)).headers["access-control-allow-origin"] == PAGE
        removal = await client.get("/api/delete", ORIGIN, method="DELETE")
        assert (removal.status, removal.json()["code"]) == (403, "forbidden")
        metrics = await client.get("/metrics", ORIGIN)
        assert "access-control-allow-origin" not in metrics.headers
