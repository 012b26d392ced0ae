"""The official Anthropic library for Python."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Literal

import anthropic
import pytest
from gateway_process import RunningGateway
from pydantic import BaseModel

pytestmark = pytest.mark.anyio
shows = pytest.mark.shows
CLIENT = "anthropic-python"

ASK = [{"role": "user", "content": "Write one sentence about the sea."}]
LONG = [{"role": "user", "content": "sea " * 8000}]
TOOL = {
    "name": "weather",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}


class City(BaseModel):
    """What a structured answer has to fit."""

    name: Literal["Oslo", "Lima"]  # the library leaves bounds of lengths to the model
    coastal: bool


@pytest.fixture
async def client(
    running: RunningGateway, version: Callable[[str, str], None]
) -> AsyncIterator[anthropic.AsyncAnthropic]:
    version(CLIENT, anthropic.__version__)
    async with anthropic.AsyncAnthropic(base_url=running.url, api_key="none", max_retries=0, timeout=60) as made:
        yield made


@shows(CLIENT, "answer")
async def test_an_answer_and_a_count(client: anthropic.AsyncAnthropic) -> None:
    answer = await client.messages.create(model="smollm2", messages=ASK, max_tokens=8, system="Be brief.")
    assert answer.content[0].type == "text"
    assert answer.usage.output_tokens > 0
    counted = await client.messages.count_tokens(model="smollm2", messages=ASK)
    assert counted.input_tokens > 0


@shows(CLIENT, "stream")
async def test_a_stream_by_the_helper(client: anthropic.AsyncAnthropic) -> None:
    async with client.messages.stream(model="smollm2", messages=ASK, max_tokens=8) as stream:
        kinds = [event.type async for event in stream]
        whole = await stream.get_final_message()
    assert kinds[0] == "message_start"
    assert kinds[-1] == "message_stop"
    assert "".join(block.text for block in whole.content if block.type == "text")
    assert whole.usage.output_tokens > 0


@shows(CLIENT, "tool call")
async def test_a_tool_call_and_its_result(client: anthropic.AsyncAnthropic) -> None:
    async with client.messages.stream(model="caller", messages=ASK, max_tokens=64, tools=[TOOL]) as stream:
        called = await stream.get_final_message()
    (call,) = [block for block in called.content if block.type == "tool_use"]
    assert called.stop_reason == "tool_use"
    assert isinstance(call.input, dict)
    assert set(call.input) == {"city"}
    result = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call.id, "content": "Fine."}]}
    said = {"role": "assistant", "content": [block.model_dump(exclude_none=True) for block in called.content]}
    answer = await client.messages.create(model="smollm2", messages=[*ASK, said, result], tools=[TOOL], max_tokens=8)
    assert answer.role == "assistant"


@shows(CLIENT, "structured output")
async def test_an_answer_that_fits_a_schema(client: anthropic.AsyncAnthropic) -> None:
    answer = await client.messages.parse(model="smollm2", messages=ASK, max_tokens=200, output_format=City)
    assert isinstance(answer.parsed_output, City)
    async with client.messages.stream(model="smollm2", messages=ASK, max_tokens=200, output_format=City) as stream:
        whole = await stream.get_final_message()
    assert isinstance(whole.parsed_output, City)


@shows(CLIENT, "error")
async def test_errors_are_the_librarys_own(client: anthropic.AsyncAnthropic) -> None:
    with pytest.raises(anthropic.NotFoundError, match="no-such"):
        await client.messages.create(model="no-such", messages=ASK, max_tokens=8)
    with pytest.raises(anthropic.BadRequestError, match="context"):
        await client.messages.create(model="smollm2", messages=LONG, max_tokens=8)


@shows(CLIENT, "cancel")
async def test_a_stream_that_is_left(
    client: anthropic.AsyncAnthropic, was_cancelled: Callable[[], Awaitable[bool]]
) -> None:
    async with client.messages.stream(
        model="smollm2", messages=ASK, max_tokens=3000, extra_body={"ignore_eos": True}
    ) as stream:
        await anext(aiter(stream))
    assert await was_cancelled()
