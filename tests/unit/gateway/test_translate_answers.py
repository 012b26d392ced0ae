"""Answers, streams and errors of Anthropic's messages API as chat completions. The shapes are those of its docs."""

from __future__ import annotations

import json
from contextlib import suppress
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostler.errors import RemoteBusy, RemoteFailed, RemoteRefused
from hostler.gateway.translate.chat_by_messages.translation import ChatByMessages
from hostler.gateway.translate.protocol import Translated

USAGE = {
    "input_tokens": 10, "cache_creation_input_tokens": 100, "cache_read_input_tokens": 1000, "output_tokens": 7,
    "service_tier": "standard",
}  # fmt: skip
THOUGHT = {"type": "thinking", "thinking": "Rayleigh.", "signature": "c2lnbmVk"}
TEXT = {"type": "text", "text": "Because."}
CALL = {"type": "tool_use", "id": "toolu_01", "name": "look", "input": {"at": "sky"}}


def answer(content: list[object], reason: str = "end_turn") -> dict:  # type: ignore[type-arg]
    message = {
        "id": "msg_01", "type": "message", "role": "assistant", "model": "claude-x", "content": content,
        "stop_reason": reason, "stop_sequence": None, "usage": USAGE,
    }  # fmt: skip
    return json.loads(ChatByMessages("claude-x", 5).answer(json.dumps(message).encode()))


def test_a_whole_answer() -> None:
    assert answer([THOUGHT, TEXT]) == {
        "id": "msg_01",
        "object": "chat.completion",
        "created": 5,
        "model": "claude-x",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Because.", "reasoning_content": "Rayleigh."},
                "finish_reason": "stop",
            }
        ],
        "usage": {
            "prompt_tokens": 1110,
            "completion_tokens": 7,
            "total_tokens": 1117,
            "prompt_tokens_details": {"cached_tokens": 1000},
        },
    }


def test_calls() -> None:
    choice = answer([CALL], "tool_use")["choices"][0]
    (call,) = choice["message"]["tool_calls"]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["content"] is None
    assert (call["id"], call["type"], call["function"]["name"]) == ("toolu_01", "function", "look")
    assert json.loads(call["function"]["arguments"]) == {"at": "sky"}


@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        ("end_turn", "stop"), ("stop_sequence", "stop"), ("pause_turn", "stop"), ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"), ("tool_use", "tool_calls"), ("refusal", "content_filter"),
        ("something_new", "stop"),
    ],
)  # fmt: skip
def test_why_it_ended(reason: str, finish: str) -> None:
    assert answer([TEXT], reason)["choices"][0]["finish_reason"] == finish


def test_blocks_that_this_api_has_no_word_for_are_left_out() -> None:
    kinds = [
        {"type": "redacted_thinking", "data": "x"},
        {"type": "server_tool_use", "id": "a", "name": "b", "input": {}},
    ]
    assert answer([*kinds, TEXT])["choices"][0]["message"] == {"role": "assistant", "content": "Because."}


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"content": 3}'])
def test_what_is_no_answer_says_what_to_look_at(body: bytes) -> None:
    with pytest.raises(RemoteFailed, match="speaks"):
        ChatByMessages("claude-x", 0).answer(body)


def test_errors_keep_their_words() -> None:
    said = {"type": "error", "error": {"type": "invalid_request_error", "message": "max_tokens: too many"}}
    told = json.loads(ChatByMessages("m", 0).error(json.dumps(said).encode()))
    assert told["error"]["message"] == "max_tokens: too many"
    assert told["error"]["type"] == told["error"]["code"] == "invalid_request_error"
    assert json.loads(ChatByMessages("m", 0).error(b"Bad \xff gateway"))["error"]["message"].startswith("Bad")


# --- streams ------------------------------------------------------------------------------------------


def start(block: int, **said: object) -> dict[str, object]:
    return {"type": "content_block_start", "index": block, "content_block": said}


def piece(block: int, **said: object) -> dict[str, object]:
    return {"type": "content_block_delta", "index": block, "delta": said}


def stop(block: int) -> dict[str, object]:
    return {"type": "content_block_stop", "index": block}


BEGIN = {
    "type": "message_start",
    "message": {
        "id": "msg_01", "type": "message", "role": "assistant", "content": [], "model": "claude-x", "stop_reason": None,
        "usage": {**USAGE, "output_tokens": 1},
    },
}  # fmt: skip
END = {"type": "message_stop"}


def ending(reason: str) -> dict[str, object]:
    return {
        "type": "message_delta", "delta": {"stop_reason": reason, "stop_sequence": None}, "usage": {"output_tokens": 7},
    }  # fmt: skip


FULL = [
    BEGIN,
    start(0, type="thinking", thinking="", signature=""),
    piece(0, type="thinking_delta", thinking="Ray"),
    {"type": "ping"},
    piece(0, type="thinking_delta", thinking="leigh."),
    piece(0, type="signature_delta", signature="c2lnbmVk"),
    stop(0),
    start(1, type="text", text=""),
    piece(1, type="text_delta", text="Beca"),
    piece(1, type="text_delta", text="use 🌊."),
    stop(1),
    start(2, type="tool_use", id="toolu_01", name="look", input={}),
    piece(2, type="input_json_delta", partial_json=""),
    piece(2, type="input_json_delta", partial_json='{"at": '),
    piece(2, type="input_json_delta", partial_json='"sky"}'),
    stop(2),
    start(3, type="tool_use", id="toolu_02", name="wait", input={}),
    stop(3),
    ending("tool_use"),
    END,
]


def raw(events: list[dict[str, object]]) -> bytes:
    return b"".join(b"event: %b\ndata: %b\n\n" % (str(e["type"]).encode(), json.dumps(e).encode()) for e in events)


def stream(*, usage: bool = False) -> Translated:
    asked = ChatByMessages("claude-x", 5)
    asked.request(json.dumps({"messages": [], "stream": True, "stream_options": {"include_usage": usage}}).encode())
    return asked.stream()


def chunks(sent: bytes) -> list[dict]:  # type: ignore[type-arg]
    lines = [line.removeprefix(b"data: ") for line in sent.split(b"\n") if line.startswith(b"data: ")]
    assert lines[-1] == b"[DONE]"
    return [json.loads(line) for line in lines[:-1]]


def put_together(said: list[dict]) -> dict[str, object]:  # type: ignore[type-arg]
    """As a client does it."""
    told: dict[str, object] = {"content": "", "reasoning": "", "finish": None}
    calls: dict[int, list[str]] = {}
    for chunk in said:
        for choice in chunk["choices"]:
            delta = choice["delta"]
            told["content"] += delta.get("content") or ""  # type: ignore[operator]
            told["reasoning"] += delta.get("reasoning_content") or ""  # type: ignore[operator]
            told["finish"] = choice["finish_reason"] or told["finish"]
            for call in delta.get("tool_calls", ()):
                mine = calls.setdefault(call["index"], [call.get("id", ""), call["function"].get("name", ""), ""])
                mine[2] += call["function"]["arguments"]
    return {**told, "calls": [(one, name, json.loads(given)) for one, name, given in calls.values()]}


WHOLE = {
    "content": "Because 🌊.",
    "reasoning": "Rayleigh.",
    "finish": "tool_calls",
    "calls": [("toolu_01", "look", {"at": "sky"}), ("toolu_02", "wait", {})],
}


def test_a_stream() -> None:
    translated = stream()
    said = chunks(translated.feed(raw(FULL)))
    assert put_together(said) == WHOLE
    assert said[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert {(c["id"], c["created"], c["model"], c["object"]) for c in said} == {
        ("msg_01", 5, "claude-x", "chat.completion.chunk")
    }
    assert said[-1]["usage"]["prompt_tokens"] == 1110
    assert said[-1]["usage"]["completion_tokens"] == 7
    assert translated.complete


def test_usage_comes_in_a_chunk_of_its_own_for_those_who_asked() -> None:
    said = chunks(stream(usage=True).feed(raw(FULL)))
    assert said[-1]["choices"] == []
    assert said[-1]["usage"]["total_tokens"] == 1117
    assert all("usage" not in chunk for chunk in said[:-1])


def test_a_ping_keeps_the_way_open() -> None:
    assert stream().feed(raw([BEGIN, {"type": "ping"}])).endswith(b": ping\n\n")


@given(st.lists(st.integers(0, len(raw(FULL))), max_size=20), st.booleans())
def test_a_stream_may_be_cut_anywhere(cuts: list[int], windows: bool) -> None:
    whole = raw(FULL).replace(b"\n", b"\r\n") if windows else raw(FULL)
    translated = stream()
    places = [0, *sorted(min(cut, len(whole)) for cut in cuts), len(whole)]
    told = b"".join(translated.feed(whole[a:b]) for a, b in pairwise(places))
    assert put_together(chunks(told)) == WHOLE
    assert translated.complete


@pytest.mark.parametrize(
    ("kind", "becomes"),
    [
        ("overloaded_error", RemoteBusy), ("rate_limit_error", RemoteBusy), ("api_error", RemoteFailed),
        ("authentication_error", RemoteRefused), ("something_new", RemoteFailed),
    ],
)  # fmt: skip
def test_an_error_in_a_stream(kind: str, becomes: type[Exception]) -> None:
    translated = stream()
    translated.feed(raw([BEGIN, {"type": "error", "error": {"type": kind, "message": "No more."}}, END]))
    assert isinstance(translated.error, becomes)
    assert "No more." in str(translated.error)
    assert not translated.complete


def test_kinds_of_events_that_are_new_are_passed_over() -> None:
    assert stream().feed(raw([{"type": "weather"}, piece(9, type="citations_delta", citation={})])) == b""


@pytest.mark.parametrize("text", [b"data: {broken\n\n", b"data: 3\n\n", b'data: {"type": 1}\n\n', b"x" * (33 * 2**20)])
def test_what_is_no_such_stream_is_told(text: bytes) -> None:
    with pytest.raises(RemoteFailed, match="API"):
        stream().feed(text)


@given(st.binary(max_size=200))
def test_bytes_of_any_kind_are_read_or_told(noise: bytes) -> None:
    with suppress(RemoteFailed):
        assert b"data:" not in stream().feed(b"data: " + noise + b"\n\n")
