"""Anthropic's messages by servers of OpenAI's chat completions: requests, answers, streams however they are cut."""

from __future__ import annotations

import json
from contextlib import suppress
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostler.errors import HostlerError, InvalidRequest, RemoteBusy, RemoteFailed, RemoteRefused
from hostler.gateway.translate.chat_by_messages.translation import ChatByMessages
from hostler.gateway.translate.messages_by_chat.stream import MessagesStream
from hostler.gateway.translate.messages_by_chat.translation import MessagesByChat
from hostler.gateway.translate.protocol import Translated

SKY = {"role": "user", "content": "Why is the sky blue?"}
LOOK = {"name": "look", "description": "Look up.", "input_schema": {"type": "object", "properties": {"n": {}}}}
PIXEL = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}}


def sent(messages: list[object] | None = None, model: str = "big", **fields: object) -> dict:  # type: ignore[type-arg]
    body = {"model": "cloud", "max_tokens": 64, "messages": [SKY] if messages is None else messages, **fields}
    return json.loads(MessagesByChat(model, 0).request(json.dumps(body).encode()))


def test_the_least_request() -> None:
    assert sent() == {"model": "big", "messages": [SKY], "max_tokens": 64}


def test_null_is_nothing_and_searches_elsewhere_have_no_word() -> None:
    failed = {"type": "web_search_tool_result", "tool_use_id": "s1", "content": {"error_code": "unavailable"}}
    turns = [SKY, {"role": "assistant", "content": [failed, {"type": "text", "text": "Air."}]}, SKY]
    wishes = {"thinking": {"type": "enabled", "budget_tokens": None}, "tools": [LOOK]}
    told = sent(turns, stream=None, tool_choice={"type": "auto", "disable_parallel_tool_use": None}, **wishes)
    assert told["messages"] == [SKY, {"role": "assistant", "content": "Air."}, SKY]
    assert (told.get("stream"), told["tool_choice"], told["reasoning_effort"]) == (None, "auto", "low")


def test_a_request_of_claude_code() -> None:
    """Text of the system in blocks, more of it after the first turn, a thought, a call and its result, wishes."""
    told = sent(
        [
            {"role": "user", "content": [{"type": "text", "text": "Read a."}, {"type": "text", "text": "Be quick."}]},
            {"role": "system", "content": "Today is Monday."},
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "A file.", "signature": "x"},
                    {"type": "text", "text": "I look."},
                    {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {"n": 1.0}},
                ],
            },
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": "toolu_1", "content": [{"type": "text", "text": "A"}, PIXEL]}
                ],
            },
        ],
        system=[
            {"type": "text", "text": "Help.", "cache_control": {"type": "ephemeral"}}, {"type": "text", "text": "Now."}
        ],
        tools=[LOOK, {"type": "web_search_20250305", "name": "web_search"}],
        tool_choice={"type": "any", "disable_parallel_tool_use": True},
        thinking={"type": "adaptive"}, output_config={"effort": "max"}, metadata={"user_id": "me"}, stream=True,
        stop_sequences=["END"], temperature=1, top_k=5, context_management={"edits": []},
    )  # fmt: skip
    assert told == {
        "model": "big",
        "messages": [
            {"role": "system", "content": "Help.\nNow."},
            {"role": "user", "content": "Read a.\nBe quick.\nToday is Monday."},
            {
                "role": "assistant", "content": "I look.", "reasoning_content": "A file.",
                "tool_calls": [
                    {"id": "toolu_1", "type": "function", "function": {"name": "look", "arguments": '{"n": 1.0}'}}
                ],
            },
            {"role": "tool", "tool_call_id": "toolu_1", "content": "A"},
            {
                "role": "user",
                "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}}],
            },
        ],
        "tools": [
            {
                "type": "function",
                "function": {
                    "name": "look", "description": "Look up.", "parameters": {"type": "object", "properties": {"n": {}}}
                },
            }
        ],
        "max_tokens": 64, "stream": True, "stream_options": {"include_usage": True}, "stop": ["END"],
        "temperature": 1.0, "tool_choice": "required", "parallel_tool_calls": False, "reasoning_effort": "high",
    }  # fmt: skip


def test_thoughts_of_answers_that_are_over_stay_here() -> None:
    thought = {"role": "assistant", "content": [{"type": "thinking", "thinking": "Hm."}, {"type": "text", "text": "A"}]}
    assert sent([SKY, thought, SKY])["messages"][1] == {"role": "assistant", "content": "A"}


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"tool_choice": {"type": "auto"}}, {"tool_choice": "auto"}),
        ({"tool_choice": {"type": "none"}}, {"tool_choice": "none"}),
        (
            {"tool_choice": {"type": "tool", "name": "look"}},
            {"tool_choice": {"type": "function", "function": {"name": "look"}}},
        ),
        ({"thinking": {"type": "enabled", "budget_tokens": 1024}}, {"reasoning_effort": "low"}),
        ({"thinking": {"type": "enabled", "budget_tokens": 30000}}, {"reasoning_effort": "high"}),
        ({"thinking": {"type": "disabled"}, "output_config": {"effort": "low"}}, {}),
        (
            {"output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}}},
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "answer", "schema": {"type": "object"}, "strict": True},
                }
            },
        ),
    ],
)
def test_wishes(fields: dict[str, object], told: dict[str, object]) -> None:
    made = sent(tools=[LOOK], **fields)
    known = {"model", "messages", "max_tokens", "tools"}
    assert {name: made[name] for name in made if name not in known} == told


def test_models_that_have_another_name_for_the_limit_get_it_by_that() -> None:
    assert sent(model="openai/gpt-5.2-mini")["max_completion_tokens"] == 64
    assert "max_completion_tokens" not in sent(model="gpt-oss-120b")


def test_documents_and_linked_images() -> None:
    content = [
        {"type": "image", "source": {"type": "url", "url": "https://a.example/x.png"}},
        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "Words."}},
        {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "aGk="}},
    ]
    assert sent([{"role": "user", "content": content}])["messages"][0]["content"] == [
        {"type": "image_url", "image_url": {"url": "https://a.example/x.png"}},
        {"type": "text", "text": "Words."},
        {"type": "file", "file": {"filename": "document.pdf", "file_data": "data:application/pdf;base64,aGk="}},
    ]


@pytest.mark.parametrize(
    "messages",
    [
        "nope",
        [{"role": "wizard", "content": "x"}],
        [{"role": "user", "content": [{"type": "hologram"}]}],
        [{"role": 1}],
    ],
)
def test_what_cannot_be_said_is_refused(messages: object) -> None:
    with pytest.raises(InvalidRequest):
        sent(messages)  # type: ignore[arg-type]


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(("type", "text", "content", "role",
                                                                                 "input", "id", "name")), inner),
    max_leaves=8,
)  # fmt: skip


@given(st.dictionaries(st.sampled_from(("messages", "system", "tools", "tool_choice", "thinking", "stream")), ANY))
def test_any_body_becomes_a_request_or_is_refused(body: object) -> None:
    with suppress(InvalidRequest):
        MessagesByChat("big", 0).request(json.dumps(body).encode())


# --- answers ------------------------------------------------------------------------------------------

USAGE = {"prompt_tokens": 110, "completion_tokens": 7, "prompt_tokens_details": {"cached_tokens": 100}}


def given_call(arguments: str, **more: object) -> dict[str, object]:
    return {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": arguments}, **more}


def answered(message: dict[str, object], reason: str | None = "stop") -> dict:  # type: ignore[type-arg]
    body = {
        "id": "chatcmpl-1", "model": "big", "usage": USAGE,
        "choices": [{"index": 0, "message": {"role": "assistant", **message}, "finish_reason": reason}],
    }  # fmt: skip
    return json.loads(MessagesByChat("big", 0).answer(json.dumps(body).encode()))


def test_a_whole_answer() -> None:
    assert answered(
        {"content": "Because.", "reasoning_content": "Rayleigh.", "tool_calls": [given_call('{"n": 1.0}')]}
    ) == {
        "id": "chatcmpl-1",
        "type": "message",
        "role": "assistant",
        "model": "big",
        "content": [
            {"type": "thinking", "thinking": "Rayleigh.", "signature": ""},
            {"type": "text", "text": "Because."},
            {"type": "tool_use", "id": "call_1", "name": "look", "input": {"n": 1.0}},
        ],
        "stop_reason": "tool_use",
        "stop_sequence": None,
        "usage": {
            "input_tokens": 10, "output_tokens": 7, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 100
        },
    }  # fmt: skip


@pytest.mark.parametrize(
    ("reason", "stop"),
    [
        ("stop", "end_turn"), ("length", "max_tokens"), ("tool_calls", "tool_use"), ("function_call", "tool_use"),
        ("content_filter", "refusal"), (None, "end_turn"), ("something_new", "end_turn"),
    ],
)  # fmt: skip
def test_why_it_ended(reason: str | None, stop: str) -> None:
    assert answered({"content": "A"}, reason)["stop_reason"] == stop


def test_arguments_that_are_no_object_stand_in_one() -> None:
    calls = [given_call("{broken"), given_call("", id="a:b"), given_call("[1]", id=None)]
    blocks = answered({"content": None, "tool_calls": calls})["content"]
    assert [block["input"] for block in blocks] == [{"arguments": "{broken"}, {}, {"arguments": "[1]"}]
    assert [block["id"] for block in blocks] == ["call_1", "a_b", "toolu_2"]


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"choices":[]}', b'{"choices":[{}]}', b"<html>", b"\xff"])
def test_what_is_no_answer_is_a_failure(body: bytes) -> None:
    with pytest.raises(RemoteFailed):
        MessagesByChat("big", 0).answer(body)


def test_errors() -> None:
    def told(body: object) -> object:
        return json.loads(MessagesByChat("big", 0).error(json.dumps(body).encode()))

    assert told({"error": {"message": "No.", "type": "not_found_error", "code": 404}}) == {
        "type": "error", "error": {"type": "not_found_error", "message": "No."},
    }  # fmt: skip
    assert told({"error": {"message": "No.", "type": "odd"}})["error"]["type"] == "invalid_request_error"  # type: ignore[index]
    assert told(["x"])["error"]["message"] == '["x"]'  # type: ignore[index]


# --- streams ------------------------------------------------------------------------------------------


def chunk(delta: dict[str, object] | None = None, reason: str | None = None, **more: object) -> bytes:
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": reason}]
    said = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "model": "big", "choices": choices, **more}
    return b"data: " + json.dumps(said).encode() + b"\n\n"


def call_piece(arguments: str, index: int | None = 0, **more: object) -> dict[str, object]:
    return {"tool_calls": [{"index": index, "function": {"arguments": arguments}, **more}]}


def begun(index: int | None, call: str | None, name: str = "look", arguments: str = "") -> dict[str, object]:
    return {"tool_calls": [{"index": index, "id": call, "function": {"name": name, "arguments": arguments}}]}


STREAM = (
    chunk({"role": "assistant", "content": ""}),
    b": processing\n\n",
    chunk({"reasoning_content": "Ray"}),
    chunk({"reasoning_content": "leigh."}),
    chunk({"content": "Be"}),
    chunk({"content": "cause \u00e9."}),
    chunk(begun(0, "call_1")),
    chunk(call_piece('{"n"')),
    chunk(call_piece(": 1.0}")),
    chunk(begun(1, "call_2", arguments="{}")),
    chunk({}, "tool_calls"),
    chunk(usage=USAGE),
    b"data: [DONE]\n\n",
)


def events_of(stream: Translated, pieces: list[bytes]) -> list[dict]:  # type: ignore[type-arg]
    text = b"".join(stream.feed(piece) for piece in pieces).decode()
    events = []
    for block in text.split("\n\n")[:-1]:
        kind, data = block.split("\n")
        events.append(json.loads(data.removeprefix("data: ")))
        assert kind == f"event: {events[-1]['type']}"
    return events


def test_a_stream() -> None:
    stream = MessagesStream()
    begin, ping, *middle, last, stop = events_of(stream, list(STREAM))
    assert stream.complete
    assert begin["message"] == {
        "id": "chatcmpl-1", "type": "message", "role": "assistant", "model": "big", "content": [],
        "stop_reason": None, "stop_sequence": None,
        "usage": {
            "input_tokens": 0, "output_tokens": 0, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0
        },
    }  # fmt: skip
    assert (ping, stop) == ({"type": "ping"}, {"type": "message_stop"})
    assert [(event["index"], event.get("content_block") or event.get("delta") or "stop") for event in middle] == [
        (0, {"type": "thinking", "thinking": "", "signature": ""}),
        (0, {"type": "thinking_delta", "thinking": "Ray"}),
        (0, {"type": "thinking_delta", "thinking": "leigh."}),
        (0, {"type": "signature_delta", "signature": ""}),
        (0, "stop"),
        (1, {"type": "text", "text": ""}),
        (1, {"type": "text_delta", "text": "Be"}),
        (1, {"type": "text_delta", "text": "cause \u00e9."}),
        (1, "stop"),
        (2, {"type": "tool_use", "id": "call_1", "name": "look", "input": {}}),
        (2, {"type": "input_json_delta", "partial_json": '{"n"'}),
        (2, {"type": "input_json_delta", "partial_json": ": 1.0}"}),
        (2, "stop"),
        (3, {"type": "tool_use", "id": "call_2", "name": "look", "input": {}}),
        (3, {"type": "input_json_delta", "partial_json": "{}"}),
        (3, "stop"),
    ]
    assert last["delta"] == {"stop_reason": "tool_use", "stop_sequence": None}
    assert last["usage"] == {
        "input_tokens": 10, "output_tokens": 7, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 100
    }  # fmt: skip


@given(st.lists(st.integers(0, len(b"".join(STREAM))), max_size=40))
def test_a_stream_may_be_cut_anywhere(cuts: list[int]) -> None:
    whole = b"".join(STREAM)
    places = sorted({0, len(whole), *cuts})
    pieces = [whole[begin:end] for begin, end in pairwise(places)]
    assert events_of(MessagesStream(), pieces) == events_of(MessagesStream(), [whole])


@pytest.mark.parametrize("marks", [(None, None), (0, 0), (0, 1)], ids=("no numbers", "all 0", "numbers"))
def test_servers_number_calls_as_they_like(marks: tuple[int | None, int | None]) -> None:
    first, second = marks
    pieces = [begun(first, "a"), call_piece("{}", first), begun(second, "b"), call_piece('{"n":1}', second)]
    events = events_of(MessagesStream(), [*(chunk(piece) for piece in pieces), b"data: [DONE]\n\n"])
    assert [event["content_block"]["id"] for event in events if "content_block" in event] == ["a", "b"]
    given_pieces = [(e["index"], e["delta"]["partial_json"]) for e in events if "partial_json" in e.get("delta", {})]
    assert given_pieces == [(0, "{}"), (1, '{"n":1}')]
    assert events[-2]["delta"]["stop_reason"] == "tool_use"


def test_pieces_of_calls_that_are_mixed_are_a_failure() -> None:
    stream = MessagesStream()
    stream.feed(chunk(begun(0, "a")) + chunk(begun(1, "b")))
    with pytest.raises(RemoteFailed):
        stream.feed(chunk(call_piece("{}", 0)))


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ({"message": "Slow down.", "type": "rate_limit_error"}, RemoteBusy),
        ({"message": "Full.", "code": 503}, RemoteBusy),
        ({"message": "Who?", "type": "authentication_error"}, RemoteRefused),
        ({"message": "Oh.", "type": "server_error"}, RemoteFailed),
        ({}, RemoteFailed),
    ],
)
def test_an_error_in_a_stream(fault: dict[str, object], kind: type[HostlerError]) -> None:
    stream = MessagesStream()
    assert stream.feed(b"data: " + json.dumps({"error": fault}).encode() + b"\n\n" + b"".join(STREAM)) == b""
    assert type(stream.error) is kind
    assert not stream.complete


@given(st.lists(st.binary(max_size=30) | st.sampled_from(STREAM), max_size=20))
def test_any_stream_is_read_or_is_a_failure(pieces: list[bytes]) -> None:
    stream = MessagesStream()
    with suppress(RemoteFailed):
        for piece in pieces:
            stream.feed(piece)


# --- there and back -----------------------------------------------------------------------------------

WORDS = st.text("abc \u00e9\n", min_size=1, max_size=8).filter(lambda text: bool(text.strip()))
OBJECTS = st.dictionaries(WORDS, st.integers() | WORDS, max_size=3)
BLOCKS = st.one_of(
    WORDS.map(lambda text: {"type": "text", "text": text}),
    st.tuples(st.sampled_from(("call_a", "call_b")), OBJECTS).map(
        lambda pair: {"type": "tool_use", "id": pair[0], "name": "look", "input": pair[1]}
    ),
)


@given(st.lists(WORDS.map(lambda text: {"role": "user", "content": text}), min_size=1, max_size=3), WORDS)
def test_requests_come_back_as_they_were(turns: list[object], system: str) -> None:
    """To chat and back to messages: the words stay, those in a row as one turn."""
    body = json.dumps({"model": "m", "max_tokens": 9, "messages": turns, "system": system}).encode()
    back = json.loads(ChatByMessages("m", 0).request(MessagesByChat("m", 0).request(body)))
    assert [block["text"] for block in back["system"]] == [system]
    (turn,) = back["messages"]
    assert turn["content"] == [{"type": "text", "text": "\n".join(each["content"] for each in turns)}]  # type: ignore[index]


@given(st.lists(BLOCKS, max_size=4))
def test_answers_come_back_as_they_were(blocks: list[dict[str, object]]) -> None:
    """An answer as chat and back: all its text first, then all its calls."""
    message = {"id": "m", "type": "message", "role": "assistant", "model": "big", "content": blocks, "usage": {}}
    there = ChatByMessages("big", 0).answer(json.dumps(message).encode())
    back = json.loads(MessagesByChat("big", 0).answer(there))["content"]
    text = "".join(str(block["text"]) for block in blocks if block["type"] == "text")
    calls = [block for block in blocks if block["type"] == "tool_use"]
    assert back == ([{"type": "text", "text": text}] if text else []) + calls
