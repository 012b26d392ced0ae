"""The official OpenAI client against a real engine: answers, streams, vectors, errors."""

from __future__ import annotations

import base64
import struct
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import openai
import pytest
from gateway_process import Home, RunningGateway

pytestmark = pytest.mark.anyio

ASK = [{"role": "user", "content": "Write one sentence about the sea."}]
TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather in a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, smollm2: Path) -> Iterator[RunningGateway]:
    """One gateway for all tests here, with a real chat profile and fakes."""
    place = Home(tmp_path_factory.mktemp("openai"))
    place.write(
        place.profile("smollm2", smollm2, 'context = 1024\naliases = ["tiny", "gpt-*"]\nembeddings = true'),
        place.fake("caller", 'aliases = ["claude-*"]', tool_calls=True),
        place.fake("broken", exit_at_load=3, load_log="the coal is wet"),
        place.fake("failing", error=500),
        top='default = "smollm2"',
    )
    gateway = RunningGateway(place)
    try:
        yield gateway.wait_ready()
    finally:
        gateway.close()


@pytest.fixture
async def client(running: RunningGateway) -> AsyncIterator[openai.AsyncOpenAI]:
    """The client as its users make it."""
    async with openai.AsyncOpenAI(base_url=f"{running.url}/v1", api_key="none", max_retries=0, timeout=60) as made:
        yield made


async def test_chat(client: openai.AsyncOpenAI) -> None:
    answer = await client.chat.completions.create(model="smollm2", messages=ASK, max_tokens=8, temperature=0)
    assert answer.choices[0].message.role == "assistant"
    assert answer.choices[0].message.content
    assert answer.usage is not None
    assert 0 < answer.usage.completion_tokens <= 8


async def test_a_stream(client: openai.AsyncOpenAI) -> None:
    stream = await client.chat.completions.create(
        model="smollm2", messages=ASK, max_tokens=8, stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text
    assert any(chunk.choices and chunk.choices[0].finish_reason for chunk in chunks)
    assert chunks[-1].usage is not None


async def test_a_stream_that_is_left_early_leaves_the_next_alone(client: openai.AsyncOpenAI) -> None:
    for _ in range(3):
        stream = await client.chat.completions.create(
            model="smollm2", messages=ASK, max_tokens=300, stream=True, extra_body={"ignore_eos": True}
        )
        await anext(aiter(stream))
        await stream.close()
    answer = await client.chat.completions.create(model="smollm2", messages=ASK, max_tokens=4)
    assert answer.choices


async def test_completions(client: openai.AsyncOpenAI) -> None:
    answer = await client.completions.create(model="smollm2", prompt="The sea", max_tokens=4)
    assert answer.choices[0].text
    stream = await client.completions.create(model="smollm2", prompt="The sea", max_tokens=4, stream=True)
    assert "".join([chunk.choices[0].text async for chunk in stream])


async def test_tools_reach_the_engine_and_calls_come_back(client: openai.AsyncOpenAI) -> None:
    answer = await client.chat.completions.create(model="caller", messages=ASK, tools=[TOOL], tool_choice="required")
    (call,) = answer.choices[0].message.tool_calls or []
    assert call.function.name == "weather"
    stream = await client.chat.completions.create(
        model="caller", messages=ASK, tools=[TOOL], tool_choice="required", stream=True
    )
    parts = [
        part async for chunk in stream for part in (chunk.choices[0].delta.tool_calls or [] if chunk.choices else [])
    ]
    assert parts[0].function.name == "weather"
    real = await client.chat.completions.create(model="smollm2", messages=ASK, tools=[TOOL], max_tokens=4)
    assert real.choices


async def test_embeddings_in_the_clients_default_encoding_and_as_numbers(client: openai.AsyncOpenAI) -> None:
    both = await client.embeddings.create(model="smollm2", input=["the sea", "the harbour"])
    assert [len(each.embedding) for each in both.data] == [576, 576]
    numbers = await client.embeddings.create(model="smollm2", input="the sea", encoding_format="float")
    assert numbers.data[0].embedding == pytest.approx(both.data[0].embedding, abs=1e-3)
    raw = await client.embeddings.with_raw_response.create(model="smollm2", input="the sea", encoding_format="base64")
    sent = raw.http_response.json()["data"][0]["embedding"]
    assert struct.unpack("<576f", base64.b64decode(sent)) == pytest.approx(both.data[0].embedding, abs=1e-3)


async def test_models(client: openai.AsyncOpenAI) -> None:
    listed = [model async for model in client.models.list()]
    assert {"smollm2", "caller", "broken", "failing"} <= {model.id for model in listed}
    one = await client.models.retrieve("tiny")
    assert one.id == "smollm2"
    assert one.model_extra is not None
    assert one.model_extra["context_length"] == 1024
    with pytest.raises(openai.NotFoundError):
        await client.models.retrieve("nothing")


@pytest.mark.parametrize("name", ["tiny", "TINY", "gpt-4o-mini", "smollm2:latest"])
async def test_aliases_and_patterns(client: openai.AsyncOpenAI, name: str) -> None:
    assert (await client.chat.completions.create(model=name, messages=ASK, max_tokens=2)).choices


async def test_a_pattern_that_names_another_vendors_models(client: openai.AsyncOpenAI) -> None:
    answer = await client.chat.completions.create(model="claude-sonnet-4-5", messages=ASK, max_tokens=2)
    assert answer.model == "caller"


async def test_a_request_without_a_model_goes_to_the_default(running: RunningGateway) -> None:
    answer = await running.post("/v1/chat/completions", {"messages": ASK, "max_tokens": 2})
    assert answer.status == 200
    assert answer.json()["model"] == "smollm2"


async def test_an_unknown_model_names_the_nearest(client: openai.AsyncOpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        await client.chat.completions.create(model="smolm2", messages=ASK)
    assert "smollm2" in caught.value.message
    assert caught.value.param == "model"


async def test_a_wrong_request_is_the_clients_fault(client: openai.AsyncOpenAI) -> None:
    with pytest.raises(openai.BadRequestError):
        await client.chat.completions.create(model="caller", messages=ASK, max_tokens=4, extra_body={"stream": "yes"})
    with pytest.raises(openai.BadRequestError) as caught:
        await client.embeddings.create(model="caller", input="the sea")
    assert "embeddings = true" in caught.value.message


async def test_too_long_a_prompt_keeps_the_engines_words(client: openai.AsyncOpenAI) -> None:
    long = [{"role": "user", "content": "sea " * 3000}]
    with pytest.raises(openai.BadRequestError) as caught:
        await client.chat.completions.create(model="smollm2", messages=long, max_tokens=4)
    assert "context" in caught.value.message


async def test_a_profile_that_cannot_load_is_the_servers_fault(client: openai.AsyncOpenAI) -> None:
    with pytest.raises(openai.InternalServerError) as caught:
        await client.chat.completions.create(model="broken", messages=ASK)
    assert "the coal is wet" in caught.value.message


async def test_an_error_of_the_engine_keeps_its_status(client: openai.AsyncOpenAI) -> None:
    with pytest.raises(openai.InternalServerError) as caught:
        await client.chat.completions.create(model="failing", messages=ASK)
    assert "scripted error" in caught.value.message


async def test_an_error_inside_a_stream_is_raised_by_the_client(client: openai.AsyncOpenAI) -> None:
    stream = await client.chat.completions.create(
        model="caller", messages=ASK, stream=True, extra_body={"fake": {"crash_after": 3, "rate": 100}}
    )
    with pytest.raises(openai.APIError) as caught:
        async for _ in stream:
            pass
    assert "engine" in caught.value.message
    again = await client.chat.completions.create(model="caller", messages=ASK, max_tokens=2)
    assert again.choices


async def test_fields_of_the_engine_pass_through(client: openai.AsyncOpenAI) -> None:
    answer = await client.chat.completions.create(
        model="smollm2", messages=ASK, max_tokens=12, temperature=0, extra_body={"grammar": 'root ::= "harbour"'}
    )
    assert answer.choices[0].message.content == "harbour"
