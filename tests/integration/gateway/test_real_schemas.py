"""Messages with a schema and the embedded engine: JSON that fits, the same prompts as without, its own refusals."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Literal

import anthropic
import msgspec
import pytest
from anthropic import AsyncAnthropic
from gateway_fakes import Gateway
from pydantic import BaseModel

from hostler.engines.protocol import Endpoint
from hostler.testing import http
from hostler.testing.launch import Running

pytestmark = pytest.mark.anyio

SCHEMA = {
    "type": "object",
    "properties": {"port": {"enum": ["Oslo", "Bergen"]}, "deep": {"type": "boolean"}},
    "required": ["port", "deep"],
    "additionalProperties": False,
}
SHAPED = {"output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}}
TOOL = {"name": "look", "description": "Look up.", "input_schema": {"type": "object", "properties": {"n": {}}}}
SEA = {"role": "user", "content": "Which port?"}
#: All kinds of blocks that a prompt is made of.
TALK: dict[str, object] = {
    "system": [{"type": "text", "text": "You know ports."}, {"type": "text", "text": "Be brief."}],
    "messages": [
        {"role": "user", "content": [{"type": "text", "text": "Look."}, {"type": "text", "text": "Then say."}]},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "A port.", "signature": ""},
                {"type": "text", "text": "I look."},
                {"type": "tool_use", "id": "call_1", "name": "look", "input": {"n": 1, "deep": [True, None, 1.5]}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "call_1", "content": [{"type": "text", "text": "Two ports."}]},
                {"type": "text", "text": "Which?"},
            ],
        },
        {"role": "system", "content": "It is late."},
    ],
    "tools": [TOOL],
}


class Port(BaseModel):
    port: Literal["Oslo", "Bergen"]
    deep: bool


@pytest.fixture
async def tiny(gateway: Gateway, real_engine: Callable[..., Awaitable[Running]], smollm2: Path) -> Gateway:
    engine = await real_engine(
        "--model", str(smollm2), "--ctx-size", "2048", "--parallel", "1", "--threads", "2", "--jinja"
    )
    gateway.fleet.endpoint = Endpoint("127.0.0.1", engine.port, engine.key)
    return gateway


@pytest.fixture
async def client(tiny: Gateway) -> AsyncIterator[AsyncAnthropic]:
    host, port = tiny.listener.getsockname()[:2]
    async with AsyncAnthropic(base_url=f"http://{host}:{port}", api_key="x", max_retries=0) as made:
        yield made


async def ask(gateway: Gateway, path: str = "/v1/messages", **fields: object) -> dict:  # type: ignore[type-arg]
    body = {"model": "tiny", "max_tokens": 40, "messages": [SEA], **fields}
    answer = await http.request(gateway.listener.getsockname(), "POST", path, body)
    assert answer.status == 200, answer.body
    return dict(answer.json())


async def test_anthropics_library_gets_json_that_fits(client: AsyncAnthropic) -> None:
    asked: dict[str, object] = {"model": "tiny", "max_tokens": 60, "messages": [SEA], "output_format": Port}
    whole = await client.messages.parse(**asked)  # type: ignore[call-overload]
    assert isinstance(whole.parsed_output, Port)
    async with client.messages.stream(**asked) as stream:  # type: ignore[arg-type]
        kinds = [event.type async for event in stream]
        message = await stream.get_final_message()
    assert isinstance(message.parsed_output, Port)
    assert (kinds[0], kinds[-1], message.stop_reason) == ("message_start", "message_stop", "end_turn")
    assert message.usage.input_tokens + (message.usage.cache_read_input_tokens or 0) > 0
    for schema in ({"type": "nonsense"}, {"$ref": "#/nowhere"}, {"oneOf": 5}):
        with pytest.raises(anthropic.BadRequestError) as refusal:
            await client.messages.create(
                model="tiny", max_tokens=9, messages=[SEA],  # type: ignore[list-item]
                output_config={"format": {"type": "json_schema", "schema": schema}},
            )  # fmt: skip
        assert isinstance(refusal.value.body, dict)
        assert refusal.value.body["error"]["type"] == "invalid_request_error"


async def test_prompts_are_the_same_with_a_schema_and_without(tiny: Gateway) -> None:
    """Token for token: what one computed the other takes from the cache, and the count is right for both."""
    for alternates in (False, True):
        served = tiny.catalogue.served["tiny"]
        tiny.catalogue.served["tiny"] = msgspec.structs.replace(served, alternates=alternates)
        for fields in ({}, TALK):
            counted = (await ask(tiny, "/v1/messages/count_tokens", **fields, **SHAPED))["input_tokens"]
            await ask(tiny, messages=[{"role": "user", "content": f"Something else. {alternates}"}])
            for wish in ({}, SHAPED, {}):
                usage = (await ask(tiny, **fields, **wish))["usage"]
                assert usage["input_tokens"] + usage["cache_read_input_tokens"] == counted
                if wish:
                    assert usage["cache_read_input_tokens"] >= counted - 4


async def test_the_stream_counts_as_the_whole_does(tiny: Gateway, client: AsyncAnthropic) -> None:
    asked: dict[str, object] = {"model": "tiny", "max_tokens": 2, "messages": [SEA]}
    async with client.messages.stream(**asked, **SHAPED) as stream:  # type: ignore[arg-type]
        start = await anext(aiter(stream))
        message = await stream.get_final_message()
    assert start.type == "message_start"
    whole = await client.messages.create(**asked, **SHAPED)  # type: ignore[call-overload]
    assert message.usage.output_tokens == whole.usage.output_tokens == 2
    assert message.stop_reason == whole.stop_reason == "max_tokens"
    sums = [
        usage.input_tokens + (usage.cache_read_input_tokens or 0)
        for usage in (start.message.usage, message.usage, whole.usage)
    ]
    assert sums[0] == sums[1] == sums[2] == tiny.recorder.rows[-1].tokens_in > 0
    assert tiny.recorder.rows[-1].api == "messages"


@pytest.mark.parametrize("shaped", [SHAPED, {}], ids=["schema", "plain"])
async def test_a_stop_sequence_is_the_reason_of_the_end(tiny: Gateway, shaped: dict[str, object]) -> None:
    words = ["port", " ", "a", "e", "i", "o", "u"]
    stopped = await ask(tiny, stop_sequences=words, **shaped)
    assert stopped["stop_reason"] == "stop_sequence"
    assert stopped["stop_sequence"] in words
