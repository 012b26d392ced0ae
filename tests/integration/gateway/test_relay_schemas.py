"""Messages whose answer follows a schema: an engine that runs here is asked by its chat API, all else is the same."""

from __future__ import annotations

import json

import anyio
import msgspec
import pytest
from gateway_fakes import EngineSide, Gateway, Heard, gateway_with, served

from hostler.accounts.keys import Keyring
from hostler.config.quantities import Seconds
from hostler.config.settings import LimitSettings, SamplingSettings
from hostler.engines.protocol import Endpoint, Remote
from hostler.models.reasoning import Thinking

pytestmark = pytest.mark.anyio

PATH, CHAT = "/v1/messages", b"POST /v1/chat/completions HTTP/1.1"
PLAIN: dict[str, object] = {"model": "tiny", "max_tokens": 64, "messages": [{"role": "user", "content": "Where?"}]}
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}
FORMAT = {"type": "json_schema", "schema": SCHEMA}
ASKED = PLAIN | {"output_config": {"format": FORMAT}}
USAGE = {"prompt_tokens": 12, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": 4}}
TEXT = '{"city":"Oslo"}'
LONG = [{"role": "user", "content": "sea " * 2000}]


def chunk(delta: dict[str, object], finish: str | None = None, **more: object) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return json.dumps({"id": "chatcmpl-1", "model": "tiny", "choices": [choice], **more}).encode()


def events(body: bytes) -> list[dict]:  # type: ignore[type-arg]
    told = [event.partition(b"\ndata: ") for event in body.strip().split(b"\n\n")]
    return [json.loads(data) | {"name": name.removeprefix(b"event: ").decode()} for name, _, data in told if data]


async def engine(heard: Heard, side: EngineSide) -> None:
    """Answers as llama.cpp does, in both APIs."""
    path, body = heard.line.split()[1], json.loads(heard.body)
    if path.endswith((b"/input_tokens", b"/count_tokens")):
        await side.json({"input_tokens": 2100})
    elif path == b"/v1/messages":
        await side.json({"type": "message", "content": [], "usage": {"input_tokens": 1, "output_tokens": 1}})
    elif body.get("stream"):
        await side.stream_head()
        await side.event(chunk({"role": "assistant"}, prompt_progress={"total": 12, "cache": 4, "processed": 4}))
        for piece in (TEXT[:4], TEXT[4:]):
            await side.event(chunk({"content": piece}))
        await side.event(chunk({}, "stop"))
        await side.event(json.dumps({"id": "c", "model": "tiny", "choices": [], "usage": USAGE}).encode())
        await side.stream_end()
    else:
        message = {"role": "assistant", "content": TEXT}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        await side.json({"id": "chatcmpl-1", "model": "tiny", "choices": [choice], "usage": USAGE})


@pytest.fixture(autouse=True)
def scripted(gateway: Gateway) -> None:
    gateway.engine.script = engine


async def test_a_whole_answer(gateway: Gateway) -> None:
    answer = await gateway.ask(ASKED, PATH, "x-request-id: mine\r\n")
    (heard,) = gateway.engine.heard
    sent = json.loads(heard.body)
    assert (heard.line, heard.headers[b"authorization"]) == (CHAT, b"Bearer engine-key")
    assert (sent["response_format"]["json_schema"]["schema"], sent["temperature"]) == (SCHEMA, 0.2)
    usage = {
        "input_tokens": 8, "output_tokens": 3, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 4,
    }  # fmt: skip
    assert answer.json() == {
        "type": "message", "id": "chatcmpl-1", "model": "tiny", "role": "assistant", "stop_reason": "end_turn",
        "stop_sequence": None, "content": [{"type": "text", "text": TEXT}], "usage": usage,
    }  # fmt: skip
    head = answer.headers
    assert (head["x-request-id"], head["x-hostler-profile"], head["content-type"]) == (
        "mine",
        "tiny",
        "application/json",
    )
    assert {part.partition(";")[0].strip() for part in head["server-timing"].split(",")} >= {"queue", "load", "total"}
    row = gateway.row
    assert (row.api, row.status) == ("messages", 200)
    assert (row.tokens_in, row.tokens_cached, row.tokens_out) == (12, 4, 3)
    (timing,) = gateway.fleet.leases[0].timings
    assert (timing.cached, timing.prompt, timing.generated) == (4, 8, 3)


async def test_a_stream(gateway: Gateway) -> None:
    answer = await gateway.ask(ASKED | {"stream": True}, PATH)
    told = events(answer.body)
    assert answer.headers["content-type"] == "text/event-stream"
    assert all(event["name"] == event["type"] for event in told)
    assert told[0]["message"]["usage"]["input_tokens"] == 8
    assert "".join(event["delta"]["text"] for event in told if event["type"] == "content_block_delta") == TEXT
    assert (told[-2]["delta"]["stop_reason"], told[-1]["type"]) == ("end_turn", "message_stop")
    row = gateway.row
    assert (row.api, row.tokens_in, row.tokens_cached, row.tokens_out) == ("messages", 12, 4, 3)


async def test_without_a_schema_the_body_stays_as_it_came(gateway: Gateway) -> None:
    gateway.catalogue.served["tiny"] = served("tiny", "chat")
    for body in (PLAIN, PLAIN | {"output_config": {"effort": "low"}}):
        raw = json.dumps(body, indent=1).encode()
        assert (await gateway.ask(raw, PATH)).status == 200
        heard = gateway.engine.heard[-1]
        assert (heard.line, heard.body) == (b"POST /v1/messages HTTP/1.1", raw)
    counted = await gateway.ask(ASKED, PATH + "/count_tokens")
    assert (counted.json(), gateway.engine.heard[-1].line.split()[1]) == (
        {"input_tokens": 2100},
        b"/v1/messages/count_tokens",
    )


async def test_it_is_edited_as_all_messages_are(gateway: Gateway) -> None:
    """The line of the bill, the profile's sampling, and the one knob for reasoning, beside the schema."""
    thinking = Thinking(switch="enable_thinking", bounded=True)
    sampling = SamplingSettings(temperature=0.3, top_k=7)
    gateway.catalogue.served["tiny"] = msgspec.structs.replace(
        served("tiny", "chat", sampling), thinking=thinking, abilities=frozenset({"reasoning"})
    )
    bill = {"type": "text", "text": "x-anthropic-billing-header: cc_version=2.1; cch=a51;"}
    wish = {"effort": "low", "format": FORMAT}
    await gateway.ask(ASKED | {"system": [bill, {"type": "text", "text": "Help."}], "output_config": wish}, PATH)
    sent = json.loads(gateway.engine.heard[0].body)
    assert sent["messages"][0] == {"role": "system", "content": "Help."}
    assert (sent["temperature"], sent["top_k"], sent["thinking_budget_tokens"]) == (0.3, 7, 2048)
    assert sent["chat_template_kwargs"]["enable_thinking"] is True


async def test_what_does_not_fit_is_bounded_or_refused(gateway: Gateway) -> None:
    answer = await gateway.ask(ASKED | {"messages": LONG, "max_tokens": 3000}, PATH)
    count, real = gateway.engine.heard
    assert (answer.status, answer.headers["x-hostler-changed"]) == (200, "max_tokens=1996")
    assert count.line.split()[1] == b"/v1/chat/completions/input_tokens"
    assert json.loads(real.body)["max_tokens"] == 1996

    async def full(heard: Heard, side: EngineSide) -> None:
        fault = {"code": 400, "type": "exceed_context_size_error", "n_prompt_tokens": 5000, "n_ctx": 4096}
        await side.json({"error": fault | {"message": "exceeds the available context size"}}, "400 Bad Request")

    gateway.engine.script = full
    refused = await gateway.ask(ASKED | {"messages": LONG * 4, "stream": True}, PATH)
    error = refused.json()["error"]
    assert (refused.status, refused.json()["type"], error["type"]) == (400, "error", "invalid_request_error")
    assert (error["code"], error["n_prompt_tokens"]) == ("context_length_exceeded", 5000)


@pytest.mark.parametrize("stream", [False, True])
async def test_a_schema_that_no_grammar_says_is_the_clients_fault(gateway: Gateway, stream: bool) -> None:
    async def refuse(heard: Heard, side: EngineSide) -> None:
        fault = {"code": 500, "message": "JSON schema conversion failed: Unrecognized schema", "type": "server_error"}
        await side.json({"error": fault}, "500 Internal Server Error")

    gateway.engine.script = refuse
    answer = await gateway.ask(ASKED | {"stream": stream}, PATH)
    assert answer.json() == {
        "type": "error",
        "error": {
            "type": "invalid_request_error", "message": "JSON schema conversion failed: Unrecognized schema",
            "source": "engine",
        },
    }  # fmt: skip
    assert (answer.status, answer.headers["x-hostler-source"], gateway.row.status) == (400, "engine", 400)


async def test_a_bad_format_never_reaches_the_engine(gateway: Gateway) -> None:
    bad = PLAIN | {"output_config": {"format": {"type": "json_schema", "schema": [1]}}}
    answer = await gateway.ask(bad, PATH)
    error = answer.json()["error"]
    assert (answer.status, answer.json()["type"], error["param"]) == (400, "error", "output_config.format.schema")
    assert gateway.engine.heard == []


@pytest.mark.parametrize("how", ["error", "end", "kill"])
async def test_a_stream_that_breaks_ends_with_an_error(gateway: Gateway, how: str) -> None:
    async def half(heard: Heard, side: EngineSide) -> None:
        await side.stream_head()
        await side.event(chunk({"content": TEXT[:4]}))
        if how == "error":
            await side.event(b'{"error":{"code":500,"message":"Compute error.","type":"server_error"}}')
        elif how == "end":
            await side.say(b"0\r\n\r\n")
        else:
            side.kill()

    gateway.engine.script = half
    answer = await gateway.ask(ASKED | {"stream": True}, PATH)
    told = events(answer.body)
    assert [event["type"] for event in told[:4]] == [
        "message_start", "ping", "content_block_start", "content_block_delta",
    ]  # fmt: skip
    assert told[-1]["name"] == "error"
    code, source = told[-1]["error"]["code"], told[-1]["error"]["source"]
    assert (code, source) == ("engine_lost" if how in ("end", "kill") else "engine_error", "engine")
    assert "remote" not in told[-1]["error"]["message"].lower()
    assert gateway.row.status == 502


async def test_an_engine_lost_before_its_first_word_is_asked_again(gateway: Gateway) -> None:
    """Its head and its progress are nothing of the answer yet."""

    async def lost_once(heard: Heard, side: EngineSide) -> None:
        if len(gateway.engine.heard) > 1:
            await engine(heard, side)
            return
        await side.stream_head()
        await side.event(chunk({"role": "assistant"}, prompt_progress={"total": 12, "cache": 0, "processed": 4}))
        side.kill()

    gateway.engine.script = lost_once
    answer = await gateway.ask(ASKED | {"stream": True}, PATH)
    assert (answer.status, events(answer.body)[-1]["type"]) == (200, "message_stop")
    assert (len(gateway.engine.heard), gateway.row.status) == (2, 200)


@pytest.mark.parametrize("phase", ["prefill", "decode"])
async def test_a_client_that_leaves_is_gone_for_the_engine_too(gateway: Gateway, phase: str) -> None:
    there, noticed = anyio.Event(), anyio.Event()

    async def watch(heard: Heard, side: EngineSide) -> None:
        await side.stream_head()
        await side.event(chunk({"role": "assistant"}, prompt_progress={"total": 12, "cache": 4, "processed": 4}))
        if phase == "decode":
            await side.event(chunk({"content": TEXT[:4]}))
        there.set()
        await side.gone()
        noticed.set()

    gateway.engine.script = watch
    client = await gateway.client()
    client.send("POST", PATH, json.dumps(ASKED | {"stream": True}).encode())
    with anyio.fail_after(5):
        await there.wait()
        if phase == "decode":
            await client.head()
        client.leave()
        await noticed.wait()
        await gateway.fleet.ended.wait()
    assert (gateway.row.status, gateway.row.cancelled) == (499, True)
    assert gateway.row.tokens_in == (12 if phase == "decode" else None)


async def test_beside_others_a_whole_answer_is_asked_for_as_a_stream(gateway: Gateway) -> None:
    """So that the engine notices a client that leaves, as for chats."""
    gateway.fleet.beside = True
    answer = await gateway.ask(ASKED | {"max_tokens": 500}, PATH)
    assert json.loads(gateway.engine.heard[0].body)["stream"] is True
    assert (answer.json()["content"][0]["text"], answer.json()["usage"]["input_tokens"]) == (TEXT, 8)


async def test_a_stream_that_waited_for_its_engine_goes_on_behind_the_comments(keys: Keyring) -> None:
    async with gateway_with(keys, LimitSettings(load_grace_s=Seconds(0))) as gateway:
        gateway.engine.script, gateway.fleet.ready = engine, False
        client = await gateway.client()
        client.send("POST", PATH, json.dumps(ASKED | {"stream": True}).encode())
        assert (await client.head())[0] == 200
        assert (await client.chunk()).startswith(b": hostler ")
        gateway.fleet.tickets[0].grant()
        rest = b""
        while piece := await client.chunk():
            rest += piece
    assert (events(rest)[0]["type"], events(rest)[-1]["type"]) == ("message_start", "message_stop")


async def test_an_auto_name_turns_to_a_remote_in_the_clients_own_words(gateway: Gateway) -> None:
    """Only an engine that runs here is asked otherwise; Anthropic's own API takes the schema itself."""
    there = gateway.engine.endpoint
    remote = Remote(base="/api/v1", tls=False, speaks="anthropic", model="big", forward_key=False)
    cloud = msgspec.structs.replace(served("cloud", "chat"), speaks="anthropic", called="big")
    gateway.catalogue.served["auto"] = msgspec.structs.replace(cloud, choose=lambda _: (served("near", "chat"), cloud))
    gateway.fleet.endpoints["cloud"] = Endpoint(there.host, there.port, "remote-key", remote)
    gateway.fleet.endpoints["near"] = Endpoint(there.host, 1, "engine-key")  # nothing listens there
    gateway.engine.script = lambda heard, side: side.json({"type": "message", "content": []})
    answer = await gateway.ask(ASKED | {"model": "auto"}, PATH)
    assert (answer.status, answer.headers["x-hostler-profile"]) == (200, "cloud")
    assert json.loads(gateway.engine.heard[-1].body) == ASKED | {"model": "big"}
