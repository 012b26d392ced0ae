"""Clients of Anthropic's API whose profile is a remote that speaks OpenAI's."""

from __future__ import annotations

import json

import msgspec
import pytest
from gateway_fakes import EngineSide, Gateway, Heard, served

from hostler.engines.protocol import Endpoint, Remote
from hostler.fleet.protocol import Needs, Served

pytestmark = pytest.mark.anyio

ASKED = {"model": "cloud", "max_tokens": 64, "messages": [{"role": "user", "content": "The sea?"}]}
USAGE = {"prompt_tokens": 12, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": 4}}
COMPLETION = {
    "id": "chatcmpl-1", "model": "big-1", "usage": USAGE,
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "The sea."}, "finish_reason": "stop"}],
}  # fmt: skip


@pytest.fixture(autouse=True)
def cloud(gateway: Gateway) -> Served:
    """The profile `cloud` is a remote at the scripted engine's place."""
    there = gateway.engine.endpoint
    remote = Remote(base="/api/v1", tls=False, speaks="openai", model="big-1", forward_key=False)
    gateway.fleet.endpoint = Endpoint(there.host, there.port, "remote-key", remote)
    one = msgspec.structs.replace(served("cloud", "chat"), speaks="openai", called="big-1")
    gateway.catalogue.served["cloud"] = one
    return one


async def complete(heard: Heard, side: EngineSide) -> None:
    await side.json(COMPLETION)


async def stream(heard: Heard, side: EngineSide) -> None:
    await side.stream_head()
    for delta, finish in (({"content": "The "}, None), ({"content": "sea."}, None), ({}, "length")):
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        await side.event(json.dumps({"id": "chatcmpl-1", "model": "big-1", "choices": [choice]}).encode())
    await side.event(json.dumps({"id": "chatcmpl-1", "model": "big-1", "choices": [], "usage": USAGE}).encode())
    await side.stream_end()


async def test_a_whole_answer(gateway: Gateway) -> None:
    gateway.engine.script = complete
    answer = await gateway.ask(ASKED, "/v1/messages?beta=true", "x-api-key: mine\r\nanthropic-beta: a-1\r\n")
    (heard,) = gateway.engine.heard
    assert heard.line == b"POST /api/v1/chat/completions HTTP/1.1"
    assert heard.headers[b"authorization"] == b"Bearer remote-key"
    assert not {b"x-api-key", b"anthropic-beta", b"anthropic-version"} & heard.headers.keys()
    assert json.loads(heard.body) == {**ASKED, "model": "big-1"}
    assert answer.json()["content"] == [{"type": "text", "text": "The sea."}]
    assert answer.json()["usage"]["cache_read_input_tokens"] == 4
    assert answer.headers["x-hostler-profile"] == "cloud"
    assert (gateway.row.tokens_in, gateway.row.tokens_cached, gateway.row.tokens_out) == (12, 4, 3)
    assert gateway.row.api == "messages"


async def test_a_stream(gateway: Gateway) -> None:
    gateway.engine.script = stream
    answer = await gateway.ask(ASKED | {"stream": True}, "/v1/messages")
    assert json.loads(gateway.engine.heard[0].body)["stream_options"] == {"include_usage": True}
    assert answer.headers["content-type"] == "text/event-stream"
    kinds = [line.removeprefix("event: ") for line in answer.body.decode().splitlines() if line.startswith("event: ")]
    block = ["content_block_start", "content_block_delta", "content_block_delta", "content_block_stop"]
    assert kinds == ["message_start", "ping", *block, "message_delta", "message_stop"]
    assert b'"stop_reason":"max_tokens"' in answer.body
    assert (gateway.row.tokens_in, gateway.row.tokens_cached, gateway.row.tokens_out) == (12, 4, 3)


async def test_its_errors_come_in_anthropics_envelope(gateway: Gateway) -> None:
    async def refuse(heard: Heard, side: EngineSide) -> None:
        await side.json({"error": {"message": "No such tool.", "type": "invalid_request_error"}}, "400 Bad Request")

    gateway.engine.script = refuse
    answer = await gateway.ask(ASKED, "/v1/messages")
    assert answer.status == 400
    assert answer.json() == {"type": "error", "error": {"type": "invalid_request_error", "message": "No such tool."}}


async def test_a_stream_that_breaks_off_ends_with_an_error(gateway: Gateway) -> None:
    async def half(heard: Heard, side: EngineSide) -> None:
        await side.stream_head()
        choice = {"index": 0, "delta": {"content": "The"}}
        await side.event(json.dumps({"id": "c", "model": "big-1", "choices": [choice]}).encode())
        await side.say(b"0\r\n\r\n")

    gateway.engine.script = half
    answer = await gateway.ask(ASKED | {"stream": True}, "/v1/messages")
    last = answer.body.decode().strip().split("\n\n")[-1]
    assert last.startswith("event: error\n")
    assert json.loads(last.partition("data: ")[2])["error"]["code"] == "remote_failed"


async def test_tokens_cannot_be_counted_there(gateway: Gateway) -> None:
    answer = await gateway.ask(ASKED, "/v1/messages/count_tokens")
    assert (answer.status, answer.json()["error"]["type"]) == (404, "not_found_error")
    assert gateway.engine.heard == []


async def test_an_auto_name_mixes_it_with_a_profile_that_runs_here(gateway: Gateway, cloud: Served) -> None:
    """The remote is overloaded; the local engine gets the request as its client wrote it."""
    spare = served("spare", "chat")

    def choose(needs: Needs) -> tuple[Served, ...]:
        assert needs.suits(cloud)
        return (cloud, spare)

    gateway.catalogue.served["auto"] = msgspec.structs.replace(cloud, choose=choose)
    gateway.fleet.endpoints["spare"] = gateway.engine.endpoint
    message = {"type": "message", "content": [], "usage": {"input_tokens": 1, "output_tokens": 1}}

    async def script(heard: Heard, side: EngineSide) -> None:
        if heard.line.split()[1] == b"/v1/messages":
            await side.json(message)
        else:
            await side.json({"error": {"message": "Busy.", "type": "overloaded"}}, "503 Service Unavailable")

    gateway.engine.script = script
    answer = await gateway.ask(ASKED | {"model": "auto"}, "/v1/messages")
    assert (answer.status, answer.headers["x-hostler-profile"]) == (200, "spare")
    assert answer.json() == message
    assert json.loads(gateway.engine.heard[1].body) == ASKED | {"model": "auto"}


async def test_anthropics_own_library_reads_the_stream(gateway: Gateway) -> None:
    """Thoughts, text and two calls, put together by the library's stream helper."""
    from anthropic import AsyncAnthropic

    def called(index: int, name: str, arguments: str) -> dict[str, object]:
        function = {"name": name, "arguments": arguments}
        return {"tool_calls": [{"index": index, "id": f"call_{index}", "type": "function", "function": function}]}

    deltas = (
        {"role": "assistant", "content": ""}, {"reasoning_content": "A file."}, {"content": "I "}, {"content": "look."},
        called(0, "read", ""), {"tool_calls": [{"index": 0, "function": {"arguments": '{"path": "a"}'}}]},
        called(1, "list", "{}"),
    )  # fmt: skip

    async def script(heard: Heard, side: EngineSide) -> None:
        await side.stream_head()
        for delta in deltas:
            choice = {"index": 0, "delta": delta, "finish_reason": None}
            await side.event(json.dumps({"id": "chatcmpl-1", "model": "big-1", "choices": [choice]}).encode())
        last = {"index": 0, "delta": {}, "finish_reason": "tool_calls"}
        await side.event(json.dumps({"id": "c", "model": "big-1", "choices": [last], "usage": USAGE}).encode())
        await side.stream_end()

    gateway.engine.script = script
    host, port = gateway.listener.getsockname()
    tool = {"name": "read", "input_schema": {"type": "object", "properties": {"path": {"type": "string"}}}}
    said = [{"role": "user", "content": "Read a."}]
    async with (
        AsyncAnthropic(base_url=f"http://{host}:{port}", api_key="none", max_retries=0) as client,
        client.messages.stream(model="cloud", max_tokens=64, messages=said, tools=[tool]) as stream,  # type: ignore[arg-type]
    ):
        message = await stream.get_final_message()
    kinds = [(block.type, getattr(block, "text", None) or getattr(block, "input", None)) for block in message.content]
    assert kinds == [("thinking", None), ("text", "I look."), ("tool_use", {"path": "a"}), ("tool_use", {})]
    assert (message.stop_reason, message.usage.input_tokens, message.usage.output_tokens) == ("tool_use", 8, 3)
    assert message.usage.cache_read_input_tokens == 4
