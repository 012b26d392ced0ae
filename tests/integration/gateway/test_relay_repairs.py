"""What llama.cpp answers wrongly reaches no client; the engine's side is scripted as it was recorded."""

from __future__ import annotations

import json
from typing import get_args

import anyio
import msgspec
import pytest
from gateway_fakes import EngineSide, Gateway, Heard

from hostler.fleet.learning.defects import Defect

pytestmark = pytest.mark.anyio

CHAT: dict[str, object] = {"model": "tiny", "messages": [{"role": "user", "content": "The sea?"}]}
BLOCK = 'event: content_block_start\ndata: {"type":"content_block_start","index":0,"content_block":{"type":"text"}}\n\n'
DELTA = (
    "event: content_block_delta\n"
    'data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"\U0001f999"}}\n\n'
)
STOP = (
    'event: message_delta\ndata: {"type":"message_delta","delta":{"stop_reason":"end_turn"},'
    '"usage":{"output_tokens":2}}\n\nevent: message_stop\ndata: {"type":"message_stop"}\n\n'
)


async def say(side: EngineSide, *texts: str) -> None:
    for text in texts:
        data = text.encode()
        await side.say(b"%x\r\n%b\r\n" % (len(data), data))


async def startless(heard: Heard, side: EngineSide) -> None:
    if heard.line.startswith(b"POST /v1/messages/count_tokens"):
        await side.json({"input_tokens": 42})
        return
    await side.stream_head()
    await say(side, BLOCK, DELTA, STOP)
    await side.say(b"0\r\n\r\n")


async def test_a_message_without_a_start_gets_one_and_the_ledger_its_tokens(gateway: Gateway) -> None:
    gateway.engine.script = startless
    answer = await gateway.ask(CHAT | {"stream": True, "max_tokens": 9}, path="/v1/messages")
    name, _, data = answer.body.partition(b"\n\n")[0].partition(b"\ndata: ")
    assert (answer.status, name) == (200, b"event: message_start")
    assert json.loads(data)["message"]["usage"]["input_tokens"] == 42
    assert answer.body.endswith((BLOCK + DELTA + STOP).encode())
    assert (gateway.row.tokens_in, gateway.row.tokens_out, gateway.row.status) == (42, 2, 200)
    assert (await gateway.ask(CHAT, path="/v1/messages/count_tokens")).json() == {"input_tokens": 42}
    assert gateway.engine.connections <= 2  # the answer's and the count's, which are kept


async def test_who_leaves_while_the_prompt_is_counted_ends_both(gateway: Gateway) -> None:
    counting, gone = anyio.Event(), [anyio.Event(), anyio.Event()]

    async def slow_to_count(heard: Heard, side: EngineSide) -> None:
        if heard.line.startswith(b"POST /v1/messages/count_tokens"):
            counting.set()
            await side.gone()
            gone[0].set()
            return
        await side.stream_head()
        await say(side, BLOCK)
        await side.gone()
        gone[1].set()

    gateway.engine.script = slow_to_count
    client = await gateway.client()
    client.send("POST", "/v1/messages", json.dumps(CHAT | {"stream": True, "max_tokens": 9}).encode())
    with anyio.fail_after(5):
        await counting.wait()
        client.leave()
        for each in gone:
            await each.wait()
        await gateway.fleet.ended.wait()
    assert gateway.row.cancelled


async def test_a_chat_without_a_role_gets_one(gateway: Gateway) -> None:
    async def roleless(heard: Heard, side: EngineSide) -> None:
        await side.stream_head()
        await side.event(
            b'{"choices":[{"finish_reason":null,"index":0,"delta":{"content":"\xf0\x9f\xa6\x99"}}],"id":"c"}'
        )
        await side.stream_end()

    gateway.engine.script = roleless
    answer = await gateway.ask(CHAT | {"stream": True})
    events = [json.loads(event[6:]) for event in answer.body.split(b"\n\n")[:-2]]
    assert [event["choices"][0]["delta"].get("role") for event in events] == ["assistant", None]
    assert [event["id"] for event in events] == ["c", "c"]


async def test_a_programs_stream_is_its_own(gateway: Gateway) -> None:
    async def roleless(heard: Heard, side: EngineSide) -> None:
        await side.stream_head()
        await side.event(b'{"choices":[{"index":0,"delta":{"content":"x"}}]}')
        await side.stream_end()

    tiny = gateway.catalogue.served["tiny"]
    gateway.catalogue.served["tiny"] = msgspec.structs.replace(tiny, counts=False)
    gateway.engine.script = roleless
    answer = await gateway.ask(CHAT | {"stream": True})
    assert b"assistant" not in answer.body


@pytest.mark.parametrize(
    ("path", "kind"), [("/v1/chat/completions", "invalid_request_error"), ("/v1/messages", "invalid_request_error")]
)
async def test_an_engine_that_blames_itself_for_a_request_is_not_believed(
    gateway: Gateway, path: str, kind: str
) -> None:
    async def confused(heard: Heard, side: EngineSide) -> None:
        fault = {"code": 500, "message": "Failed to parse tools: Missing tool type", "type": "server_error"}
        await side.json({"error": fault}, status="500 Internal Server Error")

    gateway.engine.script = confused
    answer = await gateway.ask(CHAT | {"max_tokens": 9}, path=path)
    told = answer.json()
    assert isinstance(told, dict)
    assert (answer.status, told["error"]["type"], answer.headers["x-hostler-source"]) == (400, kind, "engine")
    assert told.get("type") == ("error" if path == "/v1/messages" else None)
    assert gateway.row.status == 400


async def test_a_response_is_numbered(gateway: Gateway) -> None:
    async def unnumbered(heard: Heard, side: EngineSide) -> None:
        made = '{"id":"resp_1","object":"response","status":"in_progress"}'
        await side.stream_head()
        await say(side, f'event: response.created\ndata: {{"type":"response.created","response":{made}}}\n\n')
        done = '{"id":"resp_1","usage":{"input_tokens":5,"output_tokens":2}}'
        await say(side, f'event: response.completed\ndata: {{"type":"response.completed","response":{done}}}\n\n')
        await side.say(b"0\r\n\r\n")

    gateway.engine.script = unnumbered
    answer = await gateway.ask({"model": "tiny", "input": "x", "stream": True}, path="/v1/responses")
    events = [json.loads(event.partition(b"\ndata: ")[2]) for event in answer.body.split(b"\n\n")[:-1]]
    assert [(event["type"], event["sequence_number"]) for event in events] == [
        ("response.created", 0), ("response.in_progress", 1), ("response.completed", 2),
    ]  # fmt: skip
    assert (gateway.row.tokens_in, gateway.row.tokens_out) == (5, 2)


async def test_a_wrong_field_never_reaches_the_engine(gateway: Gateway) -> None:
    for path, body, param in (
        ("/v1/chat/completions", {"messages": "nope"}, "messages"),
        ("/v1/messages", {"messages": "nope"}, "messages"),
        ("/v1/responses", {"input": 5}, "input"),
        ("/v1/embeddings", {"input": []}, "input"),
    ):
        answer = await gateway.ask({"model": "vec" if "embeddings" in path else "tiny", **body}, path=path)
        told = answer.json()
        assert isinstance(told, dict)
        assert (answer.status, told["error"]["param"], told["error"]["source"]) == (400, param, "gateway")
    assert not gateway.engine.heard


async def test_an_engine_that_is_sound_is_spliced_byte_for_byte(gateway: Gateway) -> None:
    """What is not looked at is not held back either: half of an event goes on before its other half has come."""
    went_on = anyio.Event()
    first, rest = b'data: {"choices":[{"index":0,"delta":', b'{"content":"x"}}]}\n\n'

    async def halting(heard: Heard, side: EngineSide) -> None:
        if not json.loads(heard.body).get("stream"):
            fault = {"code": 500, "message": "Failed to parse tools: Missing tool type", "type": "server_error"}
            await side.json({"error": fault}, status="500 Internal Server Error")
            return
        await side.stream_head()
        await side.say(b"%x\r\n%b\r\n" % (len(first), first))
        await went_on.wait()
        await side.say(b"%x\r\n%b\r\n0\r\n\r\n" % (len(rest), rest))

    tiny = gateway.catalogue.served["tiny"]
    gateway.catalogue.served["tiny"] = msgspec.structs.replace(tiny, sound=frozenset(get_args(Defect)))
    gateway.engine.script = halting
    client = await gateway.client()
    client.send("POST", "/v1/chat/completions", json.dumps(CHAT | {"stream": True}).encode())
    await client.head()
    assert await client.chunk() == first
    went_on.set()
    assert await client.chunk() == rest
    assert (await gateway.ask(CHAT)).status == 500  # it is believed
