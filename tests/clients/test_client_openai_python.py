"""The official OpenAI library for Python: chat, and the Responses API with its stream helper."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable

import openai
import pytest
from gateway_process import RunningGateway
from pydantic import BaseModel, Field

pytestmark = pytest.mark.anyio
shows = pytest.mark.shows
CHAT, RESPONSES = "openai-python", "openai-python-responses"

ASK = [{"role": "user", "content": "Write one sentence about the sea."}]
LONG = [{"role": "user", "content": "sea " * 8000}]
PARAMETERS = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
TOOL = {"type": "function", "function": {"name": "weather", "parameters": PARAMETERS}}


class City(BaseModel):
    """What a structured answer has to fit."""

    name: str = Field(max_length=20)
    coastal: bool


@pytest.fixture
async def client(running: RunningGateway, version: Callable[[str, str], None]) -> AsyncIterator[openai.AsyncOpenAI]:
    version(CHAT, openai.__version__)
    version(RESPONSES, openai.__version__)
    async with openai.AsyncOpenAI(base_url=f"{running.url}/v1", api_key="none", max_retries=0, timeout=60) as made:
        yield made


@shows(CHAT, "answer")
async def test_an_answer(client: openai.AsyncOpenAI) -> None:
    answer = await client.chat.completions.create(model="smollm2", messages=ASK, max_tokens=8)
    assert answer.choices[0].message.content
    assert answer.usage is not None
    assert answer.usage.completion_tokens > 0


@shows(CHAT, "stream")
async def test_a_stream_by_the_helper(client: openai.AsyncOpenAI) -> None:
    async with client.chat.completions.stream(
        model="smollm2", messages=ASK, max_tokens=8, stream_options={"include_usage": True}
    ) as stream:
        kinds = [event.type async for event in stream]
        whole = stream.current_completion_snapshot
    assert "content.delta" in kinds
    assert whole.choices[0].message.content
    assert whole.usage is not None


@shows(CHAT, "tool call")
async def test_a_tool_call_and_its_result(client: openai.AsyncOpenAI) -> None:
    async with client.chat.completions.stream(model="caller", messages=ASK, tools=[TOOL]) as stream:
        called = (await stream.get_final_completion()).choices[0].message
    (call,) = called.tool_calls or []
    assert set(json.loads(call.function.arguments)) == {"city"}
    turns = [*ASK, called.model_dump(exclude_none=True), {"role": "tool", "tool_call_id": call.id, "content": "Fine."}]
    answer = await client.chat.completions.create(model="smollm2", messages=turns, tools=[TOOL], max_tokens=8)
    assert answer.choices[0].message.role == "assistant"


@shows(CHAT, "structured output")
async def test_an_answer_that_fits_a_schema(client: openai.AsyncOpenAI) -> None:
    answer = await client.chat.completions.parse(model="smollm2", messages=ASK, response_format=City, max_tokens=200)
    assert isinstance(answer.choices[0].message.parsed, City)


@shows(CHAT, "error")
async def test_errors_are_the_librarys_own(client: openai.AsyncOpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="no-such"):
        await client.chat.completions.create(model="no-such", messages=ASK)
    with pytest.raises(openai.BadRequestError, match="context"):
        await client.chat.completions.create(model="smollm2", messages=LONG)


@shows(CHAT, "cancel")
async def test_a_stream_that_is_left(client: openai.AsyncOpenAI, was_cancelled: Callable[[], Awaitable[bool]]) -> None:
    stream = await client.chat.completions.create(
        model="smollm2", messages=ASK, max_tokens=3000, stream=True, extra_body={"ignore_eos": True}
    )
    await anext(aiter(stream))
    await stream.close()
    assert await was_cancelled()


@shows(RESPONSES, "answer")
async def test_a_response(client: openai.AsyncOpenAI) -> None:
    answer = await client.responses.create(model="smollm2", input="Write about the sea.", max_output_tokens=8)
    assert answer.output_text
    assert answer.usage is not None
    assert answer.usage.output_tokens > 0


@shows(RESPONSES, "stream")
async def test_a_response_by_the_stream_helper(client: openai.AsyncOpenAI) -> None:
    async with client.responses.stream(model="smollm2", input="Write about the sea.", max_output_tokens=8) as stream:
        events = [event async for event in stream]
    kinds, last = [event.type for event in events], events[-1]
    assert kinds[0] == "response.created"
    assert "response.output_text.delta" in kinds
    assert last.type in ("response.completed", "response.incomplete")  # a small model may end within its bound
    assert last.response.output_text


@shows(RESPONSES, "tool call")
async def test_a_tool_call_in_a_response(client: openai.AsyncOpenAI) -> None:
    tool = {"type": "function", "name": "weather", "parameters": PARAMETERS, "strict": True}
    async with client.responses.stream(model="caller", input="The weather in Oslo?", tools=[tool]) as stream:
        whole = await stream.get_final_response()
    (call,) = [item for item in whole.output if item.type == "function_call"]
    assert set(json.loads(call.arguments)) == {"city"}
    result = {"type": "function_call_output", "call_id": call.call_id, "output": "Fine."}
    turns = [{"role": "user", "content": "The weather in Oslo?"}, call.model_dump(exclude_none=True), result]
    answer = await client.responses.create(model="smollm2", input=turns, tools=[tool], max_output_tokens=8)
    assert answer.status


@shows(RESPONSES, "structured output")
async def test_a_response_that_fits_a_schema(client: openai.AsyncOpenAI) -> None:
    answer = await client.responses.parse(model="smollm2", input="A city.", text_format=City, max_output_tokens=200)
    assert isinstance(answer.output_parsed, City)


@shows(RESPONSES, "error")
async def test_a_response_to_nobody(client: openai.AsyncOpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="no-such"):
        await client.responses.create(model="no-such", input="Hello")
    with pytest.raises(openai.BadRequestError, match="context"):
        await client.responses.create(model="smollm2", input="sea " * 8000)


@shows(RESPONSES, "cancel")
async def test_a_response_that_is_left(
    client: openai.AsyncOpenAI, was_cancelled: Callable[[], Awaitable[bool]]
) -> None:
    stream = await client.responses.create(
        model="smollm2", input="Write.", max_output_tokens=3000, stream=True, extra_body={"ignore_eos": True}
    )
    await anext(aiter(stream))
    await stream.close()
    assert await was_cancelled()
