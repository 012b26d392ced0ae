"""What a client gets through the relay, byte for byte."""

from __future__ import annotations

import json

import anyio
import msgspec
import pytest
from gateway_fakes import ANSWER, EngineSide, Gateway, Heard

from hostler.fleet.protocol import Conversation, Place

pytestmark = pytest.mark.anyio

CHAT = {"model": "tiny", "messages": [{"role": "user", "content": "The sea?"}]}
PATH = "/v1/chat/completions"


async def test_an_answer_comes_back_whole(gateway: Gateway) -> None:
    answer = await gateway.ask(CHAT)
    assert (answer.status, answer.json()) == (200, ANSWER)
    assert answer.headers["x-hostler-profile"] == "tiny"
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["server"] == "hostler"
    said = answer.headers["server-timing"]
    assert [part.partition(";dur=")[0] for part in said.split(", ")] == ["queue", "load", "engine", "total"]
    assert "queue;dur=1.5" in said


async def test_the_ledger_gets_one_row_with_tokens(gateway: Gateway) -> None:
    answer = await gateway.ask(CHAT, headers="X-Request-Id: mine-1\r\n")
    row = gateway.row
    assert answer.headers["x-request-id"] == row.id == "mine-1"
    assert (row.status, row.tokens_in, row.tokens_cached, row.tokens_out, row.cancelled) == (200, 12, 4, 3, False)
    assert row.first_byte_ms is not None
    assert 0 <= row.first_byte_ms <= row.total_ms
    assert gateway.fleet.leases[0].ends == [(200, False)]


async def test_the_engine_hears_its_own_key_and_nothing_of_the_client(gateway: Gateway) -> None:
    await gateway.ask(CHAT, headers="Authorization: Bearer secret\r\nCookie: a=b\r\n")
    heard = gateway.engine.heard[0]
    assert heard.line == b"POST /v1/chat/completions HTTP/1.1"
    assert heard.headers[b"authorization"] == b"Bearer engine-key"
    assert b"cookie" not in heard.headers


async def test_the_body_is_the_clients_bytes_with_defaults_spliced_in(gateway: Gateway) -> None:
    raw = b' {  "model" : "tiny", "messages":[], "unknown": 1.50 }'
    await gateway.ask(raw)
    assert gateway.engine.heard[0].body == b' {"temperature":0.2,' + raw[2:]


async def test_the_engine_is_told_which_slot_to_take(gateway: Gateway) -> None:
    await gateway.ask(CHAT)
    assert b"id_slot" not in gateway.engine.heard[-1].body
    gateway.fleet.place = Place(1, fresh=True)
    await gateway.ask({**CHAT, "id_slot": 7})
    body = json.loads(gateway.engine.heard[-1].body)
    assert (body["id_slot"], body["cache_prompt"]) == (1, False)


async def test_conversations_are_recognised_where_there_are_several_slots(gateway: Gateway) -> None:
    name = "X-Hostler-Conversation: first\r\n"
    await gateway.ask(CHAT, headers=name)
    assert gateway.fleet.conversation == Conversation()
    tiny = gateway.catalogue.served["tiny"]
    gateway.catalogue.served["tiny"] = msgspec.structs.replace(tiny, slots=2)
    await gateway.ask(CHAT, headers=name)
    known = gateway.fleet.conversation
    assert known is not None
    assert (known.key, len(known.marks)) == ("first", len(CHAT["messages"]))
    await gateway.ask({"model": "tiny", "messages": [], "max_tokens": 9}, path="/v1/messages")
    assert gateway.fleet.conversation is None


async def test_a_stream_is_handed_on_event_by_event(gateway: Gateway) -> None:
    answer = await gateway.ask(CHAT | {"stream": True})
    events = answer.body.split(b"\n\n")
    assert events[0] == b'data: {"a":1}'
    assert events[-2] == b"data: [DONE]"
    assert (gateway.row.tokens_in, gateway.row.tokens_cached, gateway.row.tokens_out) == (12, 5, 2)


async def test_an_event_arrives_before_the_next_one_exists(gateway: Gateway) -> None:
    client, seen = await gateway.client(), anyio.Event()

    async def one_by_one(heard: Heard, side: EngineSide) -> None:
        await side.stream_head()
        await side.event(b"1")
        await seen.wait()
        await side.stream_end()

    gateway.engine.script = one_by_one
    client.send("POST", "/v1/chat/completions", json.dumps(CHAT | {"stream": True}).encode())
    assert (await client.head())[0] == 200
    assert await client.chunk() == b"data: 1\n\n"
    seen.set()
    assert await client.chunk() == b"data: [DONE]\n\n"
    assert await client.chunk() == b""


async def test_connections_to_both_sides_are_kept(gateway: Gateway) -> None:
    client = await gateway.client()
    for _ in range(5):
        assert (await client.ask(CHAT)).status == 200
        assert (await client.ask(CHAT | {"stream": True})).complete
    assert gateway.engine.connections == 1


async def test_an_engines_error_passes_as_it_is_and_is_marked(gateway: Gateway) -> None:
    async def too_long(heard: Heard, side: EngineSide) -> None:
        await side.json({"error": {"code": 400, "message": "exceeds"}}, status="400 Bad Request")

    gateway.engine.script = too_long
    answer = await gateway.ask(CHAT | {"stream": True})
    assert (answer.status, answer.json()["error"]["message"]) == (400, "exceeds")
    assert answer.headers["x-hostler-source"] == "engine"


async def test_an_answer_that_ends_by_closing(gateway: Gateway) -> None:
    async def until_close(heard: Heard, side: EngineSide) -> None:
        await side.say(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{}")
        side.writer.close()

    gateway.engine.script = until_close
    client = await gateway.client()
    for _ in range(2):
        answer = await client.ask(CHAT)
        assert (answer.status, answer.body, answer.complete) == (200, b"{}", True)


async def test_no_content(gateway: Gateway) -> None:
    async def nothing(heard: Heard, side: EngineSide) -> None:
        await side.say(b"HTTP/1.1 204 No Content\r\n\r\n")

    gateway.engine.script = nothing
    answer = await gateway.ask(CHAT)
    assert (answer.status, answer.body) == (204, b"")
    assert "content-length" not in answer.headers


async def test_old_clients_get_a_body_that_ends_by_closing(gateway: Gateway) -> None:
    client = await gateway.client()
    body = json.dumps(CHAT | {"stream": True}).encode()
    client.writer.write(b"POST /v1/chat/completions HTTP/1.0\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
    answer = await client.answer()
    assert answer.headers["connection"] == "close"
    assert answer.body.endswith(b"data: [DONE]\n\n")


async def test_expect_continue(gateway: Gateway) -> None:
    client = await gateway.client()
    body = json.dumps(CHAT).encode()
    client.writer.write(
        b"POST /v1/chat/completions HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(body)
    )
    assert (await client.head())[0] == 100
    client.writer.write(body)
    assert (await client.answer()).status == 200


async def test_a_pipelining_client_gets_its_first_answer_and_a_close(gateway: Gateway) -> None:
    client = await gateway.client()
    for _ in range(2):
        client.send("POST", "/v1/chat/completions", json.dumps(CHAT).encode())
    assert (await client.answer()).json() == ANSWER
    assert await client.reader.read() == b""
    assert len(gateway.engine.heard) == 1


UPGRADES = {
    "h2c": "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n",
    "websocket": "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: eA==\r\n",
}


@pytest.mark.parametrize("kind", UPGRADES)
async def test_an_offer_to_upgrade_is_ignored(gateway: Gateway, kind: str) -> None:
    """Java's HttpClient offers h2c with its first request: its body was dropped, and it got 400 for an empty one."""
    client = await gateway.client()
    for headers in (UPGRADES[kind], "", UPGRADES[kind]):
        assert (await client.ask(CHAT, PATH, headers)).json() == ANSWER
    bodies = [json.loads(heard.body)["messages"] for heard in gateway.engine.heard]
    assert bodies == [CHAT["messages"]] * 3


async def test_an_offer_to_upgrade_in_a_head_that_comes_byte_by_byte(gateway: Gateway) -> None:
    client, body = await gateway.client(), json.dumps(CHAT).encode()
    head = f"POST {PATH} HTTP/1.1\r\n{UPGRADES['h2c']}Content-Length: {len(body)}\r\n\r\n".encode()
    for byte in head + body:
        client.writer.write(bytes((byte,)))
        await client.writer.drain()
        await anyio.lowlevel.checkpoint()
    assert (await client.answer()).json() == ANSWER


async def test_an_offer_to_upgrade_costs_no_other_path_its_answer(gateway: Gateway) -> None:
    client = await gateway.client()
    for _ in range(2):
        client.send("GET", "/health", headers=UPGRADES["h2c"])
        assert (await client.answer()).json() == {"status": "ok"}


@pytest.mark.parametrize("target", ["http://127.0.0.1" + PATH, "/v1/chat%2Fcompletions?a=b", "/v1/%63hat/completions"])
async def test_one_place_has_many_spellings(gateway: Gateway, target: str) -> None:
    """Spelt like this, a chat request was once answered with the list of models, and 200."""
    assert (await gateway.ask(CHAT, target)).json() == ANSWER


@pytest.mark.parametrize("surplus", [b"\x16\x03\x01 no HTTP\r\n\r\n", b"GET /health", b"POST / HTTP/1.1\r\nA\r\n\r\n"])
async def test_what_follows_a_request_does_not_get_into_its_answer(gateway: Gateway, surplus: bytes) -> None:
    """A 400 for bytes behind a request was written into the middle of the stream that answered it."""
    begun, on = anyio.Event(), anyio.Event()

    async def slowly(heard: Heard, side: EngineSide) -> None:
        await side.stream_head()
        await side.event(b"1")
        begun.set()
        await on.wait()
        await side.stream_end()

    gateway.engine.script = slowly
    client = await gateway.client()
    client.send("POST", PATH, json.dumps(CHAT | {"stream": True}).encode())
    with anyio.fail_after(5):
        await begun.wait()
    client.writer.write(surplus)
    await client.writer.drain()
    elsewhere = await gateway.client()
    elsewhere.send("GET", "/health")
    assert (await elsewhere.answer()).status == 200  # what was sent before has been read too
    on.set()
    answer = await client.answer()
    assert (answer.complete, answer.body) == (True, b"data: 1\n\ndata: [DONE]\n\n")
    assert await client.reader.read() == b""


async def test_a_large_body_in_small_pieces(gateway: Gateway) -> None:
    raw = json.dumps(CHAT | {"padding": "x" * 3_000_000, "temperature": 1}).encode()
    answer = await gateway.ask(raw)
    assert answer.status == 200
    assert gateway.engine.heard[0].body == raw


async def test_a_large_answer_comes_back_whole(gateway: Gateway) -> None:
    big = {"data": ["y" * 1000] * 4000, "usage": {"prompt_tokens": 9}}

    async def much(heard: Heard, side: EngineSide) -> None:
        await side.json(big)

    gateway.engine.script = much
    answer = await gateway.ask({"model": "vec", "input": "x"}, "/v1/embeddings")
    assert answer.json() == big
    assert gateway.row.tokens_in == 9
