"""Who asks too often hears so in the words of the API it speaks; who connects too often too."""

from __future__ import annotations

import anyio
import pytest
from gateway_fakes import Gateway, gateway_with

from hostler.accounts.keys import Bounds, Keyring
from hostler.config.settings import LimitSettings

pytestmark = pytest.mark.anyio

CHAT = {"model": "tiny", "messages": [], "max_tokens": 9}


@pytest.mark.parametrize(
    ("path", "kind"), [("/v1/chat/completions", "openai"), ("/v1/messages", "anthropic"), ("/tokenize", "openai")]
)
async def test_a_key_that_asks_too_often(gateway: Gateway, keys: Keyring, path: str, kind: str) -> None:
    key = f"x-api-key: {keys.add('guest', 'inference', Bounds(rate=2))}\r\n"
    other = f"x-api-key: {keys.add('other', 'inference')}\r\n"
    statuses = [(await gateway.ask(CHAT, path, key)).status for _ in range(2)]
    refused = await gateway.ask(CHAT, path, key)
    assert [*statuses, refused.status] == [200, 200, 429]
    assert 1 <= int(refused.headers["retry-after"]) <= 30
    error = refused.json()["error"]
    assert (error["type"], error["code"]) == ("rate_limit_error", "rate_limit_exceeded")
    assert ("type" in refused.json()) == (kind == "anthropic")
    assert (await gateway.ask(CHAT, path, other)).status == 200
    assert len(gateway.engine.heard) == 3


async def test_lists_and_management_count_too(gateway: Gateway, keys: Keyring) -> None:
    key = f"x-api-key: {keys.add('me', 'admin', Bounds(rate=1))}\r\n"
    client = await gateway.client()
    assert (await client.get("/v1/models", key)).status == 200
    refused = await client.get("/api/gateway", key)
    assert (refused.status, refused.json()["error"]["code"]) == (429, "rate_limit_exceeded")
    assert (await client.get("/health", key)).status == 200


async def test_connections_are_bounded_and_the_others_go_on(keys: Keyring) -> None:
    async with gateway_with(keys, LimitSettings(connections=3)) as gateway:
        first = await gateway.client()
        assert (await first.ask(CHAT)).status == 200
        others = [await gateway.client() for _ in range(2)]
        for one in others:
            assert (await one.ask(CHAT)).status == 200
        surplus = await gateway.client()
        refused = await surplus.answer()
        assert (refused.status, refused.json()["error"]["code"]) == (503, "too_many_connections")
        assert (await first.ask(CHAT)).status == 200
        surplus.leave()
        others[0].leave()
        with anyio.fail_after(5):
            while (await (await gateway.client()).ask(CHAT)).status == 503:
                await anyio.sleep(0.01)
