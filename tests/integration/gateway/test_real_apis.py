"""The embedded engine through the gateway: cached prompts, first events, OpenAI's and Anthropic's libraries."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest
from anthropic import AsyncAnthropic
from gateway_fakes import Gateway
from openai import AsyncOpenAI, BadRequestError

from hostler.engines.protocol import Endpoint
from hostler.testing import http
from hostler.testing.launch import Running

pytestmark = pytest.mark.anyio

#: An agent's conversation of five turns, as Claude Code sends it: what the user says, and what it was answered.
TURNS = [
    ("List the files.", "I will list them: a.txt and b.txt are here."),
    ("Read a.txt.", "It says that the sea is deep."),
    ("Read b.txt.", "It says that the sky is high."),
    ("Compare them.", "One is about water, the other about air."),
    ("Thank you.", ""),
]
RULES = "You are an agent that works with files. " + "Say what you do before you do it, and keep to the files. " * 4


@pytest.fixture
async def tiny(gateway: Gateway, real_engine: Callable[..., Awaitable[Running]], smollm2: Path) -> Gateway:
    engine = await real_engine(
        "--model", str(smollm2), "--ctx-size", "2048", "--parallel", "1", "--threads", "2", "--jinja"
    )
    gateway.fleet.endpoint = Endpoint("127.0.0.1", engine.port, engine.key)
    return gateway


def turn(number: int) -> dict[str, object]:
    """The request of one turn: its billing line, the mark of its cache and the form of old turns change each time."""
    billing = f"x-anthropic-billing-header: cc_version=2.1.19{number}; cc_entrypoint=cli; cch=a51{number}5;"
    messages: list[dict[str, object]] = []
    for at, (said, answered) in enumerate(TURNS[: number + 1]):
        part = {"type": "text", "text": said, "cache_control": {"type": "ephemeral"}}
        messages.append({"role": "user", "content": [part] if at == number else said})
        if at == 0:
            messages.append({"role": "system", "content": "The folder is /home/user."})
        if at < number:
            messages.append({"role": "assistant", "content": [{"type": "text", "text": answered}]})
    system = [
        {"type": "text", "text": billing},
        {"type": "text", "text": RULES, "cache_control": {"type": "ephemeral"}},
    ]
    return {"model": "tiny", "max_tokens": 1, "system": system, "messages": messages}


async def cached(gateway: Gateway, turns: int) -> list[tuple[int, int]]:
    """For each of the first ``turns``, the tokens of its prompt, and how many of them came from the cache."""
    told = []
    for number in range(turns):
        answer = await http.request(gateway.listener.getsockname(), "POST", "/v1/messages", turn(number))
        usage = msgspec.convert(answer.json()["usage"], dict[str, int])
        told.append((usage["input_tokens"] + usage["cache_read_input_tokens"], usage["cache_read_input_tokens"]))
    return told


async def test_an_agents_prompt_stays_cached_over_five_turns(tiny: Gateway) -> None:
    turns = await cached(tiny, len(TURNS))
    for (before, _), (_, from_cache) in pairwise(turns):
        assert from_cache >= before - 4
    served = tiny.catalogue.served["tiny"]
    tiny.catalogue.served["tiny"] = msgspec.structs.replace(served, steady=False)
    assert (await cached(tiny, 2))[1][1] < 32


async def test_a_stream_that_begins_with_an_emoji_has_its_first_event(tiny: Gateway) -> None:
    host, port = tiny.listener.getsockname()[:2]
    async with AsyncOpenAI(base_url=f"http://{host}:{port}/v1", api_key="x", max_retries=0) as client:
        stream = await client.chat.completions.create(
            model="tiny", messages=[{"role": "user", "content": "x"}], stream=True, max_tokens=8,
            extra_body={"grammar": 'root ::= "\U0001f999"'},
        )  # fmt: skip
        chunks = [chunk async for chunk in stream]
    assert chunks[0].choices[0].delta.role == "assistant"
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == "\U0001f999"


async def test_openais_library_is_content_with_responses(tiny: Gateway) -> None:
    host, port = tiny.listener.getsockname()[:2]
    async with AsyncOpenAI(base_url=f"http://{host}:{port}/v1", api_key="x", max_retries=0) as client:
        async with client.responses.stream(model="tiny", input="The sea?", max_output_tokens=4) as stream:
            events = [event async for event in stream]
        numbers, last = [event.sequence_number for event in events], events[-1]
        assert numbers == sorted(numbers)
        assert last.type == "response.incomplete"
        assert last.response.usage is not None
        assert (last.response.status, last.response.usage.output_tokens) == ("incomplete", 4)
        schema = {"type": "object", "properties": {"a": {"const": 1}}, "required": ["a"], "additionalProperties": False}
        told = await client.responses.create(
            model="tiny", input="x", max_output_tokens=30,
            text={"format": {"type": "json_schema", "name": "n", "schema": schema, "strict": True}},
        )  # fmt: skip
        assert msgspec.json.decode(told.output_text) == {"a": 1}
        assert (await client.responses.input_tokens.count(model="tiny", input="x")).input_tokens > 0
        with pytest.raises(BadRequestError) as refusal:
            await client.responses.create(model="tiny", input="x", previous_response_id="resp_1")
        assert refusal.value.param == "previous_response_id"


async def test_anthropics_library_is_content_with_messages(tiny: Gateway) -> None:
    host, port = tiny.listener.getsockname()[:2]
    async with AsyncAnthropic(base_url=f"http://{host}:{port}", api_key="x", max_retries=0) as client:
        async with client.messages.stream(
            model="tiny", max_tokens=3, messages=[{"role": "user", "content": "Say \U0001f999 only"}]
        ) as stream:
            kinds = [event.type async for event in stream]
            message = await stream.get_final_message()
        counted = await client.messages.count_tokens(
            model="tiny", messages=[{"role": "user", "content": "Say \U0001f999 only"}]
        )
    assert kinds[0] == "message_start"
    assert kinds[-1] == "message_stop"
    assert message.usage.input_tokens + (message.usage.cache_read_input_tokens or 0) == counted.input_tokens
    assert tiny.recorder.rows[0].tokens_in == counted.input_tokens
