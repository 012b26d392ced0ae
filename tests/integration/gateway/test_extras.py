"""What llama-server has besides the APIs, in front of the fake engine: looked at by profile, and passed through."""

from __future__ import annotations

import asyncio
import json

import anyio
import msgspec
import pytest
from gateway_fakes import EngineSide, Gateway, Heard, served

from hostler.accounts.keys import Keyring
from hostler.engines.protocol import Endpoint, Remote

pytestmark = pytest.mark.anyio

ADMIN = "Authorization: Bearer {}\r\n"


@pytest.fixture
async def llama(gateway: Gateway, fake_engine) -> Gateway:  # type: ignore[no-untyped-def]
    """The gateway, with a fake engine of two slots for every profile."""
    engine = await fake_engine("-np", "2", "--metrics", rate=200)
    gateway.fleet.endpoint = Endpoint("127.0.0.1", engine.port, engine.key)
    gateway.catalogue.served["org/model:q4"] = served("org/model:q4", "chat")
    return gateway


@pytest.mark.parametrize("path", ["/props", "/slots", "/lora-adapters"])
async def test_looking_at_an_engine(llama: Gateway, path: str) -> None:
    client = await llama.client()
    for query in ("", "?model=tiny"):
        answer = await client.get(path + query)
        assert answer.status == 200
        assert answer.headers["x-hostler-profile"] == "tiny"
    assert llama.fleet.leases == []
    assert (await client.get("/props?model=nobody")).json()["error"]["code"] == "model_not_found"
    assert (await client.get(path, method="DELETE")).status == 405


async def test_looking_loads_nothing_unless_asked(llama: Gateway) -> None:
    llama.fleet.loaded = False
    client = await llama.client()
    answer = await client.get("/props?model=tiny")
    assert (answer.status, answer.json()["error"]["code"]) == (409, "conflict")
    assert (await client.get("/props?model=tiny&autoload=true")).status == 200
    assert (await client.get("/props?model=tiny")).status == 200


async def test_a_page_of_others_loads_nothing_by_looking(llama: Gateway) -> None:
    """An address that only looks needs no preflight: any page could have it fetched as a picture."""
    llama.fleet.loaded = False
    client = await llama.client()
    answer = await client.get("/props?model=tiny&autoload=true", "Sec-Fetch-Site: cross-site\r\n")
    assert (answer.status, answer.json()["error"]["code"]) == (403, "forbidden")
    assert (await client.get("/props?model=tiny")).status == 409


async def test_a_page_of_others_sees_no_prompts_in_slots(llama: Gateway) -> None:
    chat = {"model": "tiny", "messages": [{"role": "user", "content": "secret"}], "max_tokens": 4}
    assert (await llama.ask(chat)).status == 200
    client = await llama.client()
    assert any("params" in slot for slot in (await client.get("/slots")).json())
    seen = (await client.get("/slots", "Sec-Fetch-Site: cross-site\r\n")).json()
    assert [slot["id"] for slot in seen] == [0, 1]
    assert not any({"params", "prompt"} & slot.keys() for slot in seen)


async def test_a_remote_has_none_of_it(llama: Gateway) -> None:
    cloud = msgspec.structs.replace(served("cloud", "chat"), speaks="openai")
    llama.catalogue.served["cloud"] = cloud
    llama.fleet.endpoint = Endpoint("127.0.0.1", 1, "", Remote("", False, "openai", "x", False))
    client = await llama.client()
    assert (await client.get("/props?model=cloud")).status == 404
    assert (await client.get("/upstream/cloud/props")).status == 404


async def test_slots_of_others_are_seen_by_admins_alone(llama: Gateway, keys: Keyring) -> None:
    chat = {"model": "tiny", "messages": [{"role": "user", "content": "secret"}], "stop": ["secret"], "max_tokens": 4}
    assert (await llama.ask(chat)).status == 200
    one = keys.add("one", "inference")
    admin = keys.add("two", "admin")
    client = await llama.client()
    whole = (await client.get("/slots", ADMIN.format(admin))).json()
    seen = (await client.get("/slots", ADMIN.format(one))).json()
    assert [slot["id"] for slot in whole] == [slot["id"] for slot in seen] == [0, 1]
    assert any("params" in slot for slot in whole)
    assert not any({"params", "prompt", "generated", "next_token"} & slot.keys() for slot in seen)
    assert (await client.get("/slots")).status == 401


async def test_one_look_at_slots_serves_all_who_ask_soon(gateway: Gateway) -> None:
    asked = 0

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        with anyio.fail_after(5):
            while await reader.readuntil(b"\r\n\r\n"):
                asked += 1
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n[]")

    async def quiet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await answer(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(quiet, "127.0.0.1", 0)
    gateway.fleet.endpoint = Endpoint("127.0.0.1", server.sockets[0].getsockname()[1], "")
    client = await gateway.client()
    assert [(await client.get("/slots")).status for _ in range(5)] == [200] * 5
    assert asked == 1
    server.close()


async def test_adapters_are_for_admins_to_change(llama: Gateway, keys: Keyring) -> None:
    client = await llama.client()
    body = b'[{"id":0,"scale":0.5}]'
    assert (await client.ask(body, "/lora-adapters")).json() == {"success": True}
    foreign = await client.ask(body, "/lora-adapters", "Origin: https://evil.example\r\n")
    assert foreign.status == 403
    one = keys.add("one", "inference")
    assert (await client.ask(body, "/lora-adapters?model=tiny", ADMIN.format(one))).status == 403


@pytest.mark.parametrize("path", ["/rerank", "/reranking", "/v1/rerank", "/v1/reranking"])
async def test_names_of_reranking(llama: Gateway, path: str) -> None:
    llama.catalogue.served["judge"] = served("judge", "rerank")
    answer = await llama.ask({"model": "judge", "query": "sea", "documents": ["a", "b"]}, path)
    assert answer.status in (200, 501)
    assert llama.row.api == "rerank"


async def test_llama_cpps_own_completion(llama: Gateway) -> None:
    answer = await llama.ask({"model": "tiny", "prompt": "The sea", "n_predict": 3}, "/completion")
    assert answer.status == 200
    assert {"content", "tokens_predicted"} <= answer.json().keys()
    assert (llama.row.api, llama.row.tokens_out) == ("completion", 3)


# --- passing through ----------------------------------------------------------------------------------


async def test_any_path_method_and_query_pass(llama: Gateway) -> None:
    client = await llama.client()
    answer = await client.get("/upstream/tiny/metrics")
    assert answer.status == 200
    assert answer.body.startswith(b"# HELP")
    assert "access-control-allow-origin" not in answer.headers
    assert answer.headers["x-hostler-profile"] == "tiny"
    erased = await client.ask({}, "/upstream/org/model%3Aq4/slots/0?action=erase")
    assert erased.status in (200, 501)
    assert (await client.get("/upstream/tiny/nothing")).status == 404
    assert (await client.get("/upstream/nobody/metrics")).json()["error"]["code"] == "model_not_found"
    assert [lease.profile for lease in llama.fleet.leases] == ["tiny", "org/model:q4", "tiny"]
    assert all(len(lease.ends) == 1 for lease in llama.fleet.leases)


async def test_a_stream_passes_as_it_comes(llama: Gateway) -> None:
    """Of one that hangs what came before is here."""
    client = await llama.client()
    chat = {"messages": [{"role": "user", "content": "x"}], "stream": True, "max_tokens": 5}
    client.send("POST", "/upstream/tiny/v1/chat/completions", json.dumps(chat).encode())
    status, headers = await client.head()
    assert (status, headers["content-type"].partition(";")[0]) == (200, "text/event-stream")
    pieces = [await client.chunk()]
    while pieces[-1]:
        pieces.append(await client.chunk())
    assert b"".join(pieces).endswith(b"data: [DONE]\n\n")
    assert llama.fleet.leases[0].ends == [(200, False)]

    client.send("POST", "/upstream/tiny/v1/chat/completions", json.dumps(chat | {"fake": {"hang_after": 2}}).encode())
    await client.head()
    come = b""
    while come.count(b"data: ") < 2:
        come += await client.chunk()
    assert b"[DONE]" not in come


async def test_a_client_that_leaves_frees_the_engine(llama: Gateway, caplog: pytest.LogCaptureFixture) -> None:
    client = await llama.client()
    chat = {"messages": [{"role": "user", "content": "x"}], "stream": True, "fake": {"tokens": 100_000}}
    client.send("POST", "/upstream/tiny/v1/chat/completions", json.dumps(chat).encode())
    await client.head()
    client.leave()
    with anyio.fail_after(5):
        await llama.fleet.ended.wait()
    assert llama.fleet.leases[0].ends == [(499, True)]
    assert (await llama.ask({"model": "tiny", "messages": chat["messages"], "max_tokens": 3})).status == 200
    assert caplog.records == []


async def test_an_engine_that_breaks_off(llama: Gateway) -> None:
    chat = {"messages": [{"role": "user", "content": "x"}], "stream": True, "fake": {"crash_after": 3, "tokens": 9}}
    answer = await llama.ask(chat, "/upstream/tiny/v1/chat/completions")
    assert not answer.complete
    assert llama.fleet.leases[0].ends == [(502, False)]


async def test_it_is_for_admins_and_no_web_page_of_others(llama: Gateway, keys: Keyring) -> None:
    client = await llama.client()
    assert (await client.get("/upstream/tiny/props", "Sec-Fetch-Site: cross-site\r\n")).status == 403
    one = keys.add("one", "inference")
    assert (await client.get("/upstream/tiny/props", ADMIN.format(one))).status == 403
    assert llama.fleet.leases == []


async def test_a_websocket_is_refused(llama: Gateway) -> None:
    client = await llama.client()
    upgrade = (
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    )
    client.send("GET", "/upstream/tiny/ws", headers=upgrade)
    status, _ = await client.head()
    assert status == 403


# --- written down -------------------------------------------------------------------------------------


async def test_what_is_passed_through_is_in_the_ledger(llama: Gateway, keys: Keyring) -> None:
    admin = keys.add("me", "admin")
    client = await llama.client()
    assert (await client.get("/upstream/tiny/nothing", ADMIN.format(admin))).status == 404
    row = llama.row
    assert (row.api, row.profile, row.principal, row.status) == ("upstream", "tiny", "me", 404)
    assert row.first_byte_ms is not None
    assert not row.cancelled


async def test_what_waits_in_vain_is_in_the_ledger_too(llama: Gateway) -> None:
    llama.fleet.ready, llama.fleet.full = False, True
    client = await llama.client()
    assert (await client.get("/upstream/tiny/metrics")).status == 503
    assert (llama.row.status, llama.row.first_byte_ms) == (503, None)


@pytest.mark.parametrize("path", ["/lora-adapters", "/upstream/tiny/lora-adapters"])
async def test_a_change_of_adapters_is_in_the_audit(llama: Gateway, keys: Keyring, path: str) -> None:
    admin, user = keys.add("me", "admin"), keys.add("one", "inference")
    client = await llama.client()
    assert (await client.ask(b"[]", path, ADMIN.format(user))).status == 403
    assert (await client.get(path, ADMIN.format(admin))).status == 200
    assert llama.audit == []
    status = (await client.ask(b'[{"id":0,"scale":0.5}]', path, ADMIN.format(admin))).status
    (record,) = llama.audit
    assert (record.who, record.via, record.action, record.target) == ("me", "api", "change adapters", "tiny")
    assert (record.status, record.address) == (status, "127.0.0.1")


async def test_a_change_of_adapters_is_in_the_audit_however_it_is_spelt(llama: Gateway) -> None:
    """llama.cpp decodes paths."""
    await (await llama.client()).ask(b"[]", "/upstream/tiny/%6cora%2dadapters?x")
    assert [record.action for record in llama.audit] == ["change adapters"]


# --- what is seen of it -------------------------------------------------------------------------------


async def answering(gateway: Gateway, status: str, body: object) -> None:
    """The engine answers everything so."""

    async def script(_heard: Heard, side: EngineSide) -> None:
        await side.json(body, status)

    gateway.engine.script = script


def told(file: str, template: str = "/a/b {{x}}") -> dict[str, object]:
    settings = {"params": {"lora": [{"path": file}]}, "model": "tiny"}
    return {"model_path": file, "chat_template": template, "default_generation_settings": settings, "total_slots": 2}


async def test_files_are_names_to_whoever_may_only_use_models(gateway: Gateway, keys: Keyring) -> None:
    one, admin = keys.add("one", "inference"), keys.add("two", "admin")
    client = await gateway.client()
    await answering(gateway, "200 OK", told("/home/me/m.gguf"))
    seen = [(await client.get("/props?model=tiny", ADMIN.format(key))).json() for key in (one, admin)]
    assert seen == [told("m.gguf"), told("/home/me/m.gguf")]
    await answering(gateway, "200 OK", [{"id": 0, "path": "/home/me/l.gguf", "scale": 1.0}])
    assert (await client.get("/lora-adapters", ADMIN.format(one))).json() == [{"id": 0, "path": "l.gguf", "scale": 1.0}]
    await answering(gateway, "500 Oh", {"error": {"message": "/home/me/l.gguf on 127.0.0.1:81 broke"}})
    answer = await client.get("/props", ADMIN.format(one))
    assert (answer.status, answer.json()["error"]["message"]) == (500, "l.gguf on the engine broke")


@pytest.mark.parametrize(("busy", "status"), [((True, True), 503), ((True, False), 200), ((), 503)])
async def test_a_look_at_slots_may_want_a_free_one(gateway: Gateway, busy: tuple[bool, ...], status: int) -> None:
    """By one look, as for everybody else."""
    slots = [{"id": number, "is_processing": works, "prompt": "x"} for number, works in enumerate(busy)]
    await answering(gateway, "200 OK", slots)
    client = await gateway.client()
    assert (await client.get("/slots")).status == 200
    answer = await client.get("/slots?fail_on_no_slot=1")
    assert answer.status == status
    assert status == 200 or answer.json()["error"]["type"] == "unavailable_error"
    assert (await client.get("/slots?model=tiny&fail_on_no_slot=")).json() == slots
    assert [heard.line for heard in gateway.engine.heard] == [b"GET /slots HTTP/1.1"]
