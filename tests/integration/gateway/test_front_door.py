"""Paths that are not inference: who answers them, when, and in whose words."""

from __future__ import annotations

import socket

import anyio
import pytest
from gateway_fakes import Gateway

from hostler.accounts.keys import Keyring
from hostler.errors import ConfigError, HomeError, PortInUse
from hostler.gateway.door.front import Message, Receive, Send
from hostler.gateway.door.server import check_exposure, listen, url_of

pytestmark = pytest.mark.anyio


async def management(scope: Message, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


async def test_home_depends_on_who_asks(gateway: Gateway) -> None:
    client = await gateway.client()
    assert (await client.get("/")).body == b"Ollama is running"
    page = await client.get("/", "Accept: text/html,*/*\r\n")
    assert (page.body, page.headers["content-type"]) == (b"<!doctype html>", "text/html; charset=utf-8")
    head = await client.get("/", method="HEAD")
    assert (head.status, head.headers["content-length"]) == (200, "17")


async def test_health_does_not_wait_for_management_but_management_does(gateway: Gateway) -> None:
    waiting, client = await gateway.client(), await gateway.client()
    waiting.send("GET", "/api/gateway")
    assert (await client.get("/health")).json() == {"status": "ok"}
    gateway.management.set(management)
    assert (await waiting.answer()).body == b"ok"


async def test_management_that_never_comes_says_why(gateway: Gateway) -> None:
    gateway.management.fail(HomeError("The database is broken."))
    answer = await (await gateway.client()).get("/api/gateway")
    assert (answer.status, answer.json()["error"]["code"]) == (500, "home_unusable")


async def test_models(gateway: Gateway) -> None:
    client = await gateway.client()
    listed = (await client.get("/v1/models")).json()
    assert [one["id"] for one in listed["data"]] == ["tiny", "base"]
    first = listed["data"][0]
    assert (first["object"], first["owned_by"], first["context_length"]) == ("model", "hostler", 4096)
    assert (first["hostler"]["state"], first["hostler"]["default"]) == ("ready", True)
    assert (await client.get("/v1/models/vec")).json()["id"] == "vec"
    missing = await client.get("/v1/models/nope")
    assert (missing.status, missing.json()["error"]["code"]) == (404, "model_not_found")


async def test_unknown_paths_wrong_methods_and_options(gateway: Gateway) -> None:
    client = await gateway.client()
    lost = await client.get("/v1/chat/completion")
    assert lost.status == 404
    assert "/v1/chat/completions" in lost.json()["error"]["hint"]
    wrong = await client.get("/v1/chat/completions")
    assert (wrong.status, wrong.headers["allow"]) == (405, "POST, OPTIONS")
    assert (await client.get("/v1/chat/completions", method="OPTIONS")).status == 204
    assert (await client.get("/health", method="DELETE")).status == 405


async def test_scopes(gateway: Gateway, keys: Keyring) -> None:
    gateway.management.set(management)
    admin, user = keys.add("admin"), keys.add("user", "inference")
    client = await gateway.client()
    assert (await client.get("/health")).status == 200
    assert (await client.get("/v1/models")).status == 401
    assert (await client.get("/v1/models", f"x-api-key: {user}\r\n")).status == 200
    assert (await client.get("/api/gateway", f"x-api-key: {user}\r\n")).status == 403
    assert (await client.get("/api/gateway", f"x-api-key: {admin}\r\n")).status == 200


async def test_a_taken_port_is_named(gateway: Gateway) -> None:
    port = gateway.listener.getsockname()[1]
    with pytest.raises(PortInUse, match=str(port)):
        await anyio.to_thread.run_sync(listen, "127.0.0.1", port)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
async def test_a_free_port_is_taken_and_told(host: str) -> None:
    if host == "::1":
        assert socket.has_ipv6
    with listen(host, 0) as listener:
        port = listener.getsockname()[1]
        assert port > 0
        assert url_of(listener).endswith(f":{port}")


async def test_an_address_that_is_not_here() -> None:
    with pytest.raises(ConfigError):
        listen("192.0.2.1", 0)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "gateway.example"])
async def test_others_are_let_in_only_with_a_key(host: str) -> None:
    with pytest.raises(ConfigError, match="key"):
        check_exposure(host, has_keys=False)
    check_exposure(host, has_keys=True)
    check_exposure("127.0.0.1", has_keys=False)


async def test_metrics_are_for_those_who_manage(gateway: Gateway, keys: Keyring) -> None:
    client = await gateway.client()
    page = await client.get("/metrics")
    assert (page.status, page.body) == (200, b"hostler_info 1\n")
    assert page.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert (await client.get("/metrics", method="POST")).status == 405
    admin, user = keys.add("admin"), keys.add("user", "inference")
    statuses = [
        (await client.get("/metrics", f"Authorization: Bearer {key}\r\n" if key else "")).status
        for key in ("", user, admin)
    ]
    assert statuses == [401, 403, 200]
