"""Keys come and go while the gateway answers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from gateway_fakes import Gateway, gateway_with

from hostler.accounts.keys import Keyring

pytestmark = pytest.mark.anyio
PATH = "/v1/chat/completions"
CHAT = {"model": "tiny", "messages": []}


async def test_the_last_key_removed_lets_nobody_in_from_the_network(tmp_path: Path) -> None:
    keys = Keyring.load(tmp_path / "keys.json", loopback=False)
    key = keys.add("only")
    sent = f"x-api-key: {key}\r\n"
    async with gateway_with(keys) as gateway:
        assert (await gateway.ask(CHAT, headers=sent)).status == 200
        keys.remove("only")
        client = await gateway.client()
        for headers in ("", sent):
            refused = await gateway.ask(CHAT, headers=headers)
            assert refused.status == 401
            assert "hostler key new" in refused.json()["error"]["hint"]
            assert (await client.get("/v1/models", headers)).status == 401
            assert (await client.get("/api/gateway", headers)).status == 401
        assert (await client.get("/health")).status == 200


async def test_a_key_removed_while_the_body_comes(gateway: Gateway, keys: Keyring) -> None:
    """The key was checked with the head and again with the whole body; the second check went unanswered."""
    key = keys.add("leaving")
    keys.add("staying")
    body = json.dumps(CHAT).encode()
    client = await gateway.client()
    head = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nx-api-key: {key}\r\nContent-Length: {len(body)}\r\n"
    client.writer.write(f"{head}Expect: 100-continue\r\n\r\n".encode())
    assert (await client.head())[0] == 100
    keys.remove("leaving")
    client.writer.write(body)
    assert (await client.answer()).status == 401
    assert gateway.engine.heard == []
