"""Errors tell whoever may only use models neither folders of this machine nor where engines listen, in any API."""

from __future__ import annotations

import json

import pytest
from gateway_fakes import EngineSide, Gateway, Heard

from hostler.accounts.keys import Keyring
from hostler.errors import ModelError

pytestmark = pytest.mark.anyio

TURNS = [{"role": "user", "content": "Hello"}]
ASKED = {
    "/v1/chat/completions": {"messages": TURNS},
    "/v1/messages": {"messages": TURNS, "max_tokens": 9},
    "/api/chat": {"messages": TURNS, "stream": False},
    "/v1/responses": {"input": "Hello"},
    "/completion": {"prompt": "Hello"},
    "/v1/embeddings": {"input": "Hello", "model": "vec"},
}
PLACES = ("/home", "/srv", "127.0.0.1")


async def asked(gateway: Gateway, path: str, key: str, **more: object) -> tuple[int, str]:
    body = {"model": "tiny", **ASKED[path], **more}
    answer = await gateway.ask(body, path, f"Authorization: Bearer {key}\r\n")
    return answer.status, answer.body.decode()


@pytest.fixture
def one(keys: Keyring) -> str:
    return keys.add("one", "inference")


@pytest.fixture
def admin(keys: Keyring) -> str:
    return keys.add("two", "admin")


@pytest.mark.parametrize("path", ASKED)
async def test_what_an_engine_says(gateway: Gateway, path: str, one: str, admin: str) -> None:
    said = "model /home/me/m.gguf at 127.0.0.1:4321 has no such layer"

    async def script(_heard: Heard, side: EngineSide) -> None:
        await side.json({"error": {"code": 500, "message": said, "type": "server_error"}}, "500 Oh")

    gateway.engine.script = script
    status, told = await asked(gateway, path, one)
    assert status >= 400
    assert "m.gguf at the engine has no such layer" in told
    assert not any(place in told for place in PLACES)
    json.loads(told)
    assert said in (await asked(gateway, path, admin))[1]


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages", "/api/chat"])
async def test_what_an_engine_says_as_a_stream(gateway: Gateway, path: str, one: str) -> None:
    """Which no head was told of yet when its first piece comes."""
    spoken = b'data: {"error":{"message":"/home/me/m.gguf at 127.0.0.1:4321 broke"}}\n\n'

    async def script(_heard: Heard, side: EngineSide) -> None:
        head = "HTTP/1.1 500 Oh\r\nContent-Type: text/event-stream\r\nContent-Length: "
        await side.say(f"{head}{len(spoken)}\r\n\r\n".encode() + spoken[:30])
        await side.say(spoken[30:])

    gateway.engine.script = script
    status, told = await asked(gateway, path, one, stream=True)
    assert status >= 500
    assert "m.gguf at the engine broke" in told


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages", "/api/chat"])
async def test_what_the_gateway_says(gateway: Gateway, path: str, one: str, admin: str, stream: bool) -> None:
    """Also of a load that fails, after which all else is tried in vain."""
    error = ModelError("/srv/models/m.gguf ends at offset 3.", hint="Look at http://127.0.0.1:81/.")
    for key in (one, admin):
        gateway.fleet.ready, gateway.fleet.tickets = False, []
        client = await gateway.client()
        body = json.dumps({"model": "tiny", **ASKED[path], "stream": stream}).encode()
        client.send("POST", path, body, f"Authorization: Bearer {key}\r\n")
        await gateway.fleet.asked.wait()
        while not gateway.fleet.tickets:
            await gateway.fleet.asked.wait()
        gateway.fleet.tickets[0].refuse(error)
        told = (await client.answer()).body.decode()
        assert "m.gguf ends at offset 3." in told
        assert any(place in told for place in PLACES) is (key == admin)


async def test_lists_say_what_is_wrong_without(gateway: Gateway, one: str, admin: str) -> None:
    gateway.catalogue.problem = ModelError("/srv/models/m.gguf ends.")
    client = await gateway.client()
    for key, told in ((one, "m.gguf ends."), (admin, "/srv/models/m.gguf ends.")):
        listed = (await client.get("/v1/models", f"Authorization: Bearer {key}\r\n")).json()
        assert {each["hostler"]["problem"] for each in listed["data"]} == {told}


async def test_ready_says_to_others_that_it_is_wrong_and_not_where(gateway: Gateway, one: str, admin: str) -> None:
    gateway.config_error = "/srv/home/hostler.toml:3: unknown key"
    client = await gateway.client()
    for headers in ("", f"Authorization: Bearer {one}\r\n"):
        told = (await client.get("/ready", headers)).json()
        assert (told["config_error"], told["profiles"]) == ("hostler.toml:3: unknown key", {})
    told = (await client.get("/ready", f"Authorization: Bearer {admin}\r\n")).json()
    assert (told["config_error"], told["profiles"]) == (gateway.config_error, {"tiny": "ready"})


async def test_ready_names_nothing_to_a_page_that_points_its_own_name_here(gateway: Gateway) -> None:
    gateway.config_error = "/srv/home/hostler.toml:3: unknown key"
    client = await gateway.client()
    for host, names in (("evil.example", {}), ("localhost", {"tiny": "ready"})):
        told = (await client.get("/ready", f"Host: {host}\r\n")).json()
        assert told["profiles"] == names
        assert ("/srv" in told["config_error"]) is bool(names)
