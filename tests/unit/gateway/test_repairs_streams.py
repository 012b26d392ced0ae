"""Streams that begin wrongly, or lack what clients reckon by, put right piece by piece; the events are llama.cpp's."""

from __future__ import annotations

import json

import msgspec
import pytest

from hostler.gateway.answering.repairs import stops
from hostler.gateway.answering.repairs.events import Events
from hostler.gateway.answering.repairs.protocol import Asked, StreamRepair
from hostler.gateway.answering.repairs.starts import MessageStart, RoleFirst
from hostler.gateway.answering.repairs.stops import Stops
from hostler.gateway.asking.checks.reading import read

CHAT = Asked("req-1", "tiny", read("chat", b'{"model":"any","messages":[]}'), 1700)
MESSAGES = Asked("req-1", "tiny", read("messages", b'{"messages":[]}'), 1700)
RESPONSE = Asked("req-1", "tiny", read("responses", b'{"model":"any","input":"x","temperature":0.5}'), 1700)
CUTS = [1, 3, 17, 10_000]


def fed(repair: StreamRepair, stream: bytes, cut: int, count: int = 0) -> bytes:
    """What comes out when ``stream`` comes in pieces; what passes after the repair is done counts too."""
    told = b""
    for start in range(0, len(stream), cut):
        piece = stream[start : start + cut]
        told += piece if repair.done else repair.feed(piece)
        if repair.counting and count:
            told += repair.counted(count)
    return told if repair.done else told + repair.end()


def chunk(**delta: object) -> bytes:
    body = {
        "choices": [{"finish_reason": None, "index": 0, "delta": delta}], "created": 17, "id": "chatcmpl-E",
        "model": "any", "system_fingerprint": "b0", "object": "chat.completion.chunk",
    }  # fmt: skip
    return b"data: " + json.dumps(body, separators=(",", ":")).encode() + b"\n\n"


@pytest.mark.parametrize("cut", CUTS)
def test_a_chat_that_lost_its_role_gets_it(cut: int) -> None:
    stream = b":\n\n" + chunk(content="\U0001f999") + chunk(content="!") + b"data: [DONE]\n\n"
    told = fed(RoleFirst(CHAT), stream, cut)
    assert told.endswith(stream[3:])
    assert told.startswith(b":\n\n")
    first = json.loads(told[3 : -len(stream[3:])].removeprefix(b"data: "))
    assert first["choices"] == [{"finish_reason": None, "index": 0, "delta": {"role": "assistant", "content": None}}]
    assert (first["id"], first["created"], first["object"]) == ("chatcmpl-E", 17, "chat.completion.chunk")


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize(
    "stream",
    [
        chunk(role="assistant", content=None) + chunk(content="A"),
        b'data: {"a":1}\n\n',
        b'data: {"error":{"code":500}}\n\n',
        b"data: nonsense",
        b"x" * 70_000,
        b"",
    ],
    ids=["whole", "other", "error", "cut", "long", "empty"],
)
def test_every_other_chat_passes_as_it_is(stream: bytes, cut: int) -> None:
    assert fed(RoleFirst(CHAT), stream, cut) == stream


def event(name: str, **data: object) -> bytes:
    return (
        f"event: {name}\ndata: ".encode() + json.dumps({"type": name, **data}, separators=(",", ":")).encode() + b"\n\n"
    )


START = event("message_start", message={"id": "m", "usage": {"input_tokens": 7}})
BLOCK = event("content_block_start", index=0, content_block={"type": "text", "text": ""})
DELTA = event("content_block_delta", index=0, delta={"type": "text_delta", "text": "\U0001f999"})
STOP = event("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 3}) + event("message_stop")


@pytest.mark.parametrize("cut", CUTS)
def test_a_message_that_lost_its_start_waits_for_the_count_of_its_prompt(cut: int) -> None:
    told = fed(MessageStart(MESSAGES), BLOCK + DELTA + STOP, cut, count=42)
    assert told.endswith(BLOCK + DELTA + STOP)
    name, _, data = told[: -len(BLOCK + DELTA + STOP)].partition(b"\ndata: ")
    start = json.loads(data)
    assert (name, start["type"]) == (b"event: message_start", "message_start")
    assert (start["message"]["model"], start["message"]["role"]) == ("tiny", "assistant")
    assert start["message"]["usage"] == {"cache_read_input_tokens": 0, "input_tokens": 42, "output_tokens": 0}


def test_nothing_of_a_message_is_told_before_its_start() -> None:
    repair = MessageStart(MESSAGES)
    assert repair.feed(BLOCK) == repair.feed(DELTA) == repair.end() == b""
    assert repair.counted(0).endswith(BLOCK + DELTA)
    assert repair.done


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("stream", [START + BLOCK + DELTA + STOP, event("error", error={"message": "x"}), b"even"])
def test_every_other_message_passes_as_it_is(stream: bytes, cut: int) -> None:
    assert fed(MessageStart(MESSAGES), stream, cut) == stream


MADE = {"id": "resp_1", "object": "response", "status": "in_progress"}
CREATED = event("response.created", response=MADE) + event("response.in_progress", response=MADE)
PART = {"type": "output_text", "annotations": [], "logprobs": [], "text": "Hi"}
MESSAGE = {"type": "message", "status": "completed", "id": "msg_1", "content": [PART], "role": "assistant"}
THOUGHT = {"id": "rs_1", "summary": [], "type": "reasoning", "content": [{"type": "reasoning_text", "text": "Hm"}]}
CALL = {"id": "fc_1", "type": "function_call", "name": "f", "arguments": '{"a":1}', "call_id": "call_1"}
BEGIN = event("response.output_item.added", item={**MESSAGE, "content": []}) + event(
    "response.content_part.added", item_id="msg_1", part={"type": "output_text", "text": ""}
)
TEXT = event("response.output_text.delta", item_id="msg_1", delta="Hi")
TEXT_DONE = (
    event("response.output_text.done", item_id="msg_1", text="Hi")
    + event("response.content_part.done", item_id="msg_1", part=PART)
    + event("response.output_item.done", item=MESSAGE)
)
USAGE = {"input_tokens": 5, "output_tokens": 2, "total_tokens": 7, "input_tokens_details": {"cached_tokens": 0}}
DONE = event("response.completed", response={**MADE, "status": "completed", "output": [MESSAGE], "usage": USAGE})


def read_events(told: bytes) -> list[dict[str, object]]:
    events = []
    for text in told.split(b"\n\n")[:-1]:
        name, _, data = text.partition(b"\ndata: ")
        read_one = json.loads(data)
        assert name == b"event: " + read_one["type"].encode()
        events.append(read_one)
    assert [one["sequence_number"] for one in events] == list(range(len(events)))
    return events


@pytest.mark.parametrize("cut", CUTS)
def test_a_response_is_numbered_and_indexed(cut: int) -> None:
    thought = event("response.output_item.added", item={**THOUGHT, "content": []}) + event(
        "response.reasoning_text.delta", item_id="rs_1", delta="Hm"
    )
    call = event("response.output_item.added", item={**CALL, "arguments": ""}) + event(
        "response.function_call_arguments.delta", item_id="fc_1", delta='{"a":1}'
    )
    done = event("response.output_item.done", item=THOUGHT) + TEXT_DONE + event("response.output_item.done", item=CALL)
    events = read_events(fed(Events(RESPONSE), CREATED + thought + BEGIN + TEXT + call + done + DONE, cut))
    assert [(one["type"], one.get("output_index")) for one in events] == [
        ("response.created", None),
        ("response.in_progress", None),
        ("response.output_item.added", 0),
        ("response.reasoning_text.delta", 0),
        ("response.output_item.added", 1),
        ("response.content_part.added", 1),
        ("response.output_text.delta", 1),
        ("response.output_item.added", 2),
        ("response.function_call_arguments.delta", 2),
        ("response.reasoning_text.done", 0),
        ("response.output_item.done", 0),
        ("response.output_text.done", 1),
        ("response.content_part.done", 1),
        ("response.output_item.done", 1),
        ("response.function_call_arguments.done", 2),
        ("response.output_item.done", 2),
        ("response.completed", None),
    ]
    created, completed = events[0]["response"], events[-1]["response"]
    assert isinstance(created, dict)
    assert isinstance(completed, dict)
    assert (created["output"], created["model"], created["temperature"], created["tools"]) == ([], "any", 0.5, [])
    assert completed["usage"]["output_tokens_details"] == {"reasoning_tokens": 0}
    assert created["created_at"] == completed["created_at"] == 1700


def test_a_response_that_begins_with_each_piece_begins_once() -> None:
    events = read_events(fed(Events(RESPONSE), CREATED + BEGIN + TEXT + CREATED + TEXT + TEXT_DONE + DONE, 50))
    assert [one["type"] for one in events].count("response.created") == 1


def test_what_came_whole_at_the_end_has_a_begin() -> None:
    events = read_events(fed(Events(RESPONSE), TEXT_DONE + event("response.output_item.done", item=CALL) + DONE, 50))
    assert [one["type"] for one in events if one["type"] not in ("response.created", "response.in_progress")] == [
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.output_item.added",
        "response.function_call_arguments.done",
        "response.output_item.done",
        "response.completed",
    ]


def test_a_response_that_was_cut_off_ends_as_incomplete() -> None:
    wish = msgspec.structs.replace(RESPONSE, body=b'{"max_output_tokens":2}')
    last = read_events(fed(Events(wish), CREATED + BEGIN + TEXT + TEXT_DONE + DONE, 50))[-1]
    response = last["response"]
    assert isinstance(response, dict)
    assert (last["type"], response["status"]) == ("response.incomplete", "incomplete")
    assert response["incomplete_details"] == {"reason": "max_output_tokens"}


def test_an_error_in_a_response_is_an_event() -> None:
    fault = b'data: {"error":{"code":500,"message":"Compute error.","type":"server_error"}}\n\n'
    events = read_events(fed(Events(RESPONSE), CREATED + fault, 50))
    assert events[-1] == {
        "type": "error", "sequence_number": 2, "code": "server_error", "message": "Compute error.", "param": None,
    }  # fmt: skip


@pytest.mark.parametrize("cut", CUTS)
def test_a_build_that_numbers_its_events_needs_nothing(cut: int) -> None:
    stream = event("response.created", sequence_number=0, response=MADE) + TEXT + DONE
    repair = Events(RESPONSE)
    assert fed(repair, stream, cut) == stream
    assert repair.done


def test_a_call_without_a_name_is_told_as_one() -> None:
    done = event("response.output_item.done", item={"id": "fc_9", "type": "function_call"})
    told = read_events(fed(Events(RESPONSE), CREATED + done, 1000))[-2]
    assert (told["type"], told["name"], told["arguments"]) == ("response.function_call_arguments.done", "", "")


def test_what_cannot_be_read_passes() -> None:
    stream = b"event: response.output_item.done\ndata: {\n\n:ping\n\n"
    assert fed(Events(RESPONSE), stream, 5) == stream


def ended(reason: str, word: str | None) -> bytes:
    delta = {"stop_reason": reason, "stop_sequence": word}
    body = {"type": "message_delta", "delta": delta, "usage": {"output_tokens": 3}}
    return b"event: message_delta\ndata: " + json.dumps(body, separators=(",", ":")).encode() + b"\n\n"


BEGUN = b'event: message_start\ndata: {"type":"message_start"}\n\n' + b": here still\n\n"
OVER = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'


@pytest.mark.parametrize("cut", CUTS)
def test_a_message_that_a_stop_sequence_ended_says_so(cut: int) -> None:
    told = fed(Stops(MESSAGES), BEGUN + ended("end_turn", "port") + OVER, cut)
    assert told == BEGUN + ended("stop_sequence", "port") + OVER


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize(
    "end",
    [
        ended("end_turn", None),
        ended("max_tokens", "port"),
        b"event: message_delta\ndata: {\n\n",
        b'event: message_delta\ndata: {"delta":5}\n\n',
        b"event: message_delta\ndata: cut",
    ],
)
def test_other_ends_of_messages_pass(end: bytes, cut: int) -> None:
    assert fed(Stops(MESSAGES), BEGUN + end, cut) == BEGUN + end


@pytest.mark.parametrize("cut", CUTS)
def test_a_message_may_lack_its_start_and_misname_its_end(cut: int) -> None:
    block = b'event: content_block_start\ndata: {"type":"content_block_start"}\n\n'
    told = fed(Stops(MESSAGES), block + ended("end_turn", "port") + OVER, cut, count=7)
    assert told.startswith(b"event: message_start\n")
    assert told.endswith(b"\n\n" + block + ended("stop_sequence", "port") + OVER)


def test_an_event_without_end_is_not_kept() -> None:
    repair = Stops(MESSAGES)
    piece = b"x" * (stops.LONGEST + 1)
    assert repair.feed(BEGUN) + repair.feed(piece) == BEGUN + piece
    assert repair.done
