"""The official Ollama library for Python."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from importlib.metadata import version as installed

import ollama
import pytest
from gateway_process import RunningGateway

pytestmark = pytest.mark.anyio
shows = pytest.mark.shows
CLIENT = "ollama-python"

ASK = [{"role": "user", "content": "Write one sentence about the sea."}]
FEW = {"num_predict": 8}
SCHEMA = {"type": "object", "properties": {"city": {"type": "string", "maxLength": 20}}, "required": ["city"]}
TOOL = {"type": "function", "function": {"name": "weather", "parameters": SCHEMA}}


@pytest.fixture
async def client(running: RunningGateway, version: Callable[[str, str], None]) -> AsyncIterator[ollama.AsyncClient]:
    version(CLIENT, installed("ollama"))
    async with ollama.AsyncClient(host=running.url, timeout=60) as made:
        yield made


@shows(CLIENT, "answer")
async def test_an_answer(client: ollama.AsyncClient) -> None:
    answer = await client.chat("smollm2", ASK, options=FEW)
    assert answer.message.content
    assert answer.eval_count == 8


@shows(CLIENT, "stream")
async def test_a_stream(client: ollama.AsyncClient) -> None:
    parts = [part async for part in await client.chat("smollm2", ASK, options=FEW, stream=True)]
    assert "".join(part.message.content or "" for part in parts)
    assert parts[-1].done
    assert parts[-1].eval_count == 8


@shows(CLIENT, "tool call")
async def test_a_tool_call_and_its_result(client: ollama.AsyncClient) -> None:
    called = (await client.chat("caller", ASK, tools=[TOOL])).message
    (call,) = called.tool_calls or []
    assert set(call.function.arguments) == {"city"}
    turns = [*ASK, called, {"role": "tool", "tool_name": "weather", "content": "Fine."}]
    answer = await client.chat("smollm2", turns, tools=[TOOL], options=FEW)
    assert answer.message.role == "assistant"


@shows(CLIENT, "structured output")
async def test_an_answer_that_fits_a_schema(client: ollama.AsyncClient) -> None:
    answer = await client.chat("smollm2", ASK, format=SCHEMA, options={"num_predict": 200})
    assert set(json.loads(answer.message.content or "")) == {"city"}


@shows(CLIENT, "error")
async def test_errors_are_the_librarys_own(client: ollama.AsyncClient) -> None:
    with pytest.raises(ollama.ResponseError, match="no-such") as unknown:
        await client.chat("no-such", ASK)
    assert unknown.value.status_code == 404
    with pytest.raises(ollama.ResponseError, match="context"):
        await client.chat("smollm2", [{"role": "user", "content": "sea " * 8000}])


@shows(CLIENT, "cancel")
async def test_a_stream_that_is_left(client: ollama.AsyncClient, was_cancelled: Callable[[], Awaitable[bool]]) -> None:
    stream = await client.chat("endless", ASK, stream=True)
    await anext(aiter(stream))
    await stream.aclose()  # type: ignore[attr-defined,unused-ignore]
    assert await was_cancelled()
