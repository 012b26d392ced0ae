"""Messages with a schema, as the chat request that llama.cpp makes of messages itself; and what tells their answer."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from asked import LEAST, profile

from hostler.errors import InvalidRequest
from hostler.gateway.asking.by_chat import spoken
from hostler.gateway.asking.checks.fitting import check_for
from hostler.gateway.asking.checks.messages import Messages
from hostler.gateway.asking.checks.reading import read
from hostler.gateway.routes import INFERENCE
from hostler.gateway.translate.messages_by_chat.translation import ByLlamacpp

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}
FORMAT = {"type": "json_schema", "schema": SCHEMA}
SHAPED = {"output_config": {"format": FORMAT}}
SAID = {"role": "user", "content": "Where?"}
PIXEL = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}}
URL = {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}}
MESSAGES = INFERENCE[b"/v1/messages"]


def sent(**fields: object) -> dict:  # type: ignore[type-arg]
    body = {"model": "tiny", "max_tokens": 64, "messages": [SAID], **SHAPED, **fields}
    return json.loads(ByLlamacpp().request(json.dumps(body).encode()))


def test_the_least_request() -> None:
    assert sent() == {
        "model": "tiny", "max_tokens": 64, "messages": [SAID],
        "response_format": {"type": "json_schema", "json_schema": {"schema": SCHEMA, "name": "answer", "strict": True}},
    }  # fmt: skip


@pytest.mark.parametrize(
    "fields",
    [
        {"stream": None}, {"thinking": {"type": "enabled", "budget_tokens": None}},
        {"tool_choice": {"type": "auto", "name": None, "disable_parallel_tool_use": None}},
    ],
)  # fmt: skip
def test_null_is_nothing_as_in_requests_without_a_schema(fields: dict[str, object]) -> None:
    body = json.dumps({"model": "tiny", "max_tokens": 64, "messages": [SAID], **SHAPED, **fields}).encode()
    read("messages", body)
    meant = {"thinking_budget_tokens": 10_000} if "thinking" in fields else {}
    meant |= {"tool_choice": "auto"} if "tool_choice" in fields else {}
    assert json.loads(ByLlamacpp().request(body)) == sent() | meant


def test_blocks_of_searches_elsewhere_are_left_out_whatever_is_in_them() -> None:
    """A conversation that began on Anthropic's servers was refused for a search that failed there."""
    failed = {"type": "web_search_tool_result", "tool_use_id": "s1", "content": {"error_code": "unavailable"}}
    said = {"role": "assistant", "content": [failed, {"type": "text", "text": "I do not know."}]}
    told = sent(messages=[SAID, said, SAID])
    assert told["messages"][1] == {"role": "assistant", "content": [{"type": "text", "text": "I do not know."}]}


def test_an_agents_request_is_what_its_own_converter_makes_of_it() -> None:
    """Blocks as parts, thoughts of every turn, calls in compact JSON, results behind what was said beside them."""
    told = sent(
        messages=[
            {"role": "user", "content": [{"type": "text", "text": "Read a.", "cache_control": {}}, PIXEL]},
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "A file.", "signature": ""},
                    {"type": "tool_use", "id": "call_1", "name": "look", "input": {"n": 1, "of": "a"}},
                ],
            },
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": "call_1", "content": [{"type": "text", "text": "A"}] * 2},
                    {"type": "tool_result", "tool_use_id": "call_2", "content": [PIXEL]},
                    {"type": "text", "text": "Now answer."},
                ],
            },
        ],
        system=[{"type": "text", "text": "Help."}, {"type": "text", "text": "Now."}],
        tools=[{"name": "look", "input_schema": SCHEMA}], tool_choice={"type": "any"}, stop_sequences=["END"],
        stream=True, temperature=0.5, top_p=0.9, top_k=40, thinking={"type": "enabled", "budget_tokens": 100},
        chat_template_kwargs={"enable_thinking": True}, metadata={"user_id": "me"},
    )  # fmt: skip
    del told["response_format"]
    function = {"name": "look", "arguments": '{"n":1,"of":"a"}'}
    assert told == {
        "model": "tiny", "max_tokens": 64,
        "messages": [
            {"role": "system", "content": "Help.Now."},
            {"role": "user", "content": [{"type": "text", "text": "Read a."}, URL]},
            {
                "role": "assistant", "content": "", "reasoning_content": "A file.",
                "tool_calls": [{"id": "call_1", "type": "function", "function": function}],
            },
            {"role": "user", "content": [{"type": "text", "text": "Now answer."}]},
            {"role": "tool", "tool_call_id": "call_1", "content": "AA"},
            {"role": "tool", "tool_call_id": "call_2", "content": [URL]},
        ],
        "tools": [{"type": "function", "function": {"name": "look", "description": "", "parameters": SCHEMA}}],
        "tool_choice": "required", "stop": ["END"], "verbose": True, "stream": True,
        "stream_options": {"include_usage": True},
        "return_progress": True, "temperature": 0.5, "top_p": 0.9, "top_k": 40, "thinking_budget_tokens": 100,
        "chat_template_kwargs": {"enable_thinking": True},
    }  # fmt: skip


def test_the_older_name_of_a_format_means_the_same() -> None:
    older = sent(output_config={"effort": "low"}, output_format=FORMAT)
    assert older["response_format"]["json_schema"]["schema"] == SCHEMA


@pytest.mark.parametrize(
    ("fields", "shaped"),
    [
        (SHAPED, True),
        ({"output_format": FORMAT}, True),
        ({"output_config": {"effort": "low", "format": FORMAT}, "output_format": None}, True),
        ({**SHAPED, "tools": [{"name": "look"}], "tool_choice": {"type": "auto"}}, True),
        ({**SHAPED, "tools": [{"name": "look"}], "tool_choice": {"type": "any"}}, False),
        ({}, False),
        ({"output_config": {"effort": "low"}}, False),
        ({"output_config": {"format": None}, "output_format": None}, False),
        ({"output_config": None}, False),
    ],
)
def test_only_messages_with_a_schema_are_asked_otherwise(fields: dict[str, object], shaped: bool) -> None:
    body = json.dumps({**LEAST["messages"], **fields}).encode()
    asked = read("messages", body)
    check_for(profile(), asked)
    made, route, translation = spoken(body, MESSAGES, asked, profile())
    assert (made is not body, route.target == b"/v1/chat/completions", translation is not None) == (shaped,) * 3
    for served, other in ((profile(speaks="openai"), MESSAGES), (profile(), INFERENCE[b"/v1/messages/count_tokens"])):
        assert spoken(body, other, asked, served) == (body, other, None)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"output_config": 5}, "output_config"),
        ({"output_config": {"format": []}}, "output_config.format"),
        ({"output_config": {"format": {"schema": SCHEMA}}}, "output_config.format.type"),
        ({"output_config": {"format": {"type": "json_object"}}}, "output_config.format.type"),
        ({"output_config": {"format": {"type": "json_schema"}}}, "output_config.format.schema"),
        ({"output_config": {"format": {"type": "json_schema", "schema": []}}}, "output_config.format.schema"),
        ({"output_config": {"format": {"type": "json_schema", "schema": None}}}, "output_config.format.schema"),
        ({"output_format": {"type": "json_schema", "schema": "x"}}, "output_format.schema"),
        ({"output_format": {"type": "text"}}, "output_format.type"),
        ({**SHAPED, "messages": [SAID, {"role": "assistant", "content": "{"}]}, "messages"),
    ],
)
@pytest.mark.parametrize("api", ["messages", "count_tokens"])
def test_a_format_that_is_none_is_refused_at_the_edge(api: str, fields: dict[str, object], param: str) -> None:
    asked = read(api, json.dumps({**LEAST[api], **fields}).encode())
    assert isinstance(asked, Messages)
    with pytest.raises(InvalidRequest) as refusal:
        check_for(profile(), asked)
    assert refusal.value.param == param


PROGRESS = {"total": 12, "cache": 4, "processed": 4, "time_ms": 1}
CHUNKS: list[dict[str, object]] = [
    {"choices": [{"index": 0, "delta": {"role": "assistant", "content": None}}], "prompt_progress": PROGRESS},
    {"choices": [{"index": 0, "delta": {"role": "assistant", "content": None}}]},
    {"choices": [{"index": 0, "delta": {"content": '{"city":'}}]},
    {"choices": [{"index": 0, "delta": {"content": '"Oslo"}'}}]},
    {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "__verbose": {"stopping_word": "}"}},
    {
        "choices": [],
        "usage": {"prompt_tokens": 12, "completion_tokens": 7, "prompt_tokens_details": {"cached_tokens": 4}},
    },
]


@pytest.mark.parametrize("cut", [1, 7, 10_000])
def test_a_stream_begins_with_the_tokens_of_its_prompt(cut: int) -> None:
    stream = ByLlamacpp().stream()
    chunks = [{"id": "chatcmpl-1", "model": "tiny", **chunk} for chunk in CHUNKS]
    data = b"".join(b"data: %b\n\n" % json.dumps(chunk).encode() for chunk in chunks) + b"data: [DONE]\n\n"
    first = stream.feed(data[: data.index(b"\n\n") + 2])
    rest = data[data.index(b"\n\n") + 2 :]
    told = b"".join(stream.feed(rest[begin:end]) for begin, end in pairwise([*range(0, len(rest), cut), len(rest)]))
    events = [json.loads(event.partition(b"\ndata: ")[2]) for event in told.split(b"\n\n")[:-1]]
    assert (first, stream.complete) == (b"", True)  # nothing is said before there is something of the answer
    assert [event["type"] for event in events] == [
        "message_start", "ping", "content_block_start", "content_block_delta", "content_block_delta",
        "content_block_stop", "message_delta", "message_stop",
    ]  # fmt: skip
    assert [events[0]["message"]["usage"][name] for name in ("input_tokens", "cache_read_input_tokens")] == [8, 4]
    assert (events[-2]["usage"]["output_tokens"], events[-2]["delta"]["stop_sequence"]) == (7, "}")
    assert "".join(event["delta"]["text"] for event in events[3:5]) == '{"city":"Oslo"}'
