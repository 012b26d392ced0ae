"""Usage that the client did not ask for: asked of the engine, and taken out of the stream again."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostler.config.settings import SamplingSettings
from hostler.fleet.protocol import Served
from hostler.gateway.answering.taps import EVENT_LIMIT, Outlet, Unasked, tapped, with_usage
from hostler.gateway.asking.peek import peek
from hostler.gateway.routes import INFERENCE
from hostler.ledger.captures import Captures
from hostler.wire.management import RequestRecord

PROGRAM = Served(
    name="p", task="chat", embeddings=False, sampling=SamplingSettings(), context=4096, counts=False
)  # fmt: skip
CHAT = INFERENCE[b"/v1/chat/completions"]
NOWHERE = Outlet("req-1", lambda _: None, None)
STREAM = b'{"model":"p","stream":true,"n":1.50}'
USAGE = b'data: {"id":"1","choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2}}\n\n'
ROW = RequestRecord(
    id="req-1", at=1.0, principal="local", profile="p", api="chat", status=200, tokens_in=1, tokens_cached=0,
    tokens_out=1, queue_ms=0.0, load_ms=0.0, first_byte_ms=1.0, total_ms=1.0, cancelled=False,
)  # fmt: skip
EVENTS = (
    b'data: {"choices":[{"delta":{"content":"\\"usage\\""}}],"usage":null}\n\n',
    b": a comment\n\n",
    b'data: {"choices":[{"finish_reason":"stop"}],"usage":{"prompt_tokens":3}}\r\n\r\n',
    b'data: {"choices":[],"usage":null}\n\n',
    b'data: "usage", and no JSON\n\n',
)


def passed(*pieces: bytes) -> bytes:
    got: list[bytes] = []
    tap = Unasked(got.append)
    for piece in pieces:
        tap.write(piece)
    tap.end()
    assert b"" not in got
    return b"".join(got)


@pytest.mark.parametrize(
    ("said", "options"),
    [
        ({}, {"include_usage": True}),
        ({"stream_options": None}, {"include_usage": True}),
        ({"stream_options": {"include_usage": False, "x": 1.5}}, {"include_usage": True, "x": 1.5}),
        ({"stream_options": {"include_usage": True}}, None),
        ({"stream_options": "all"}, None),
        ({"stream_options": {"include_usage": "yes"}}, None),
    ],
)
def test_it_is_asked_once_and_what_is_wrong_is_left_to_the_engine(
    said: dict[str, object], options: dict[str, object] | None
) -> None:
    fuller = with_usage(json.dumps({"model": "p", "stream": True, **said}).encode())
    assert (None if fuller is None else json.loads(fuller)["stream_options"]) == options


def test_only_streams_of_engines_that_do_not_tell_are_touched() -> None:
    body, tap = tapped(PROGRAM, CHAT, peek(STREAM), STREAM, NOWHERE)
    assert body == b'{"model":"p","stream":true,"n":1.50,"stream_options":{"include_usage":true}}'
    assert tap is not None
    whole = b'{"model":"p"}'
    asked = STREAM[:-1] + b',"stream_options":{"include_usage":true}}'
    own = msgspec.structs.replace(PROGRAM, counts=True)
    for served, route, said in (
        (own, CHAT, STREAM),
        (PROGRAM, CHAT, whole),
        (PROGRAM, CHAT, asked),
        (PROGRAM, INFERENCE[b"/v1/messages"], STREAM),
    ):
        assert tapped(served, route, peek(said), said, NOWHERE) == (said, None)


@pytest.mark.parametrize("counts", [True, False])
def test_of_a_captured_profile_it_is_kept_what_the_engine_and_the_client_get(counts: bool, tmp_path: Path) -> None:
    served, got = msgspec.structs.replace(PROGRAM, counts=counts, capture=True), list[bytes]()
    captures = Captures(tmp_path)
    body, tap = tapped(served, CHAT, peek(STREAM), STREAM, Outlet("req-1", got.append, captures))
    assert tap is not None
    tap.write(EVENTS[0])
    tap.write(USAGE)
    tap.end()
    capture = captures._open["req-1"].of(ROW)
    assert capture.asked == body.decode()
    assert capture.answered == b"".join(got).decode() == (EVENTS[0] + (USAGE if counts else b"")).decode()
    assert tapped(served, CHAT, peek(STREAM), STREAM, NOWHERE)[0] == body


def test_of_a_request_that_turns_to_another_profile_nothing_is_kept(tmp_path: Path) -> None:
    captures = Captures(tmp_path)
    out = Outlet("req-1", list[bytes]().append, captures)
    tapped(msgspec.structs.replace(PROGRAM, capture=True), CHAT, peek(STREAM), STREAM, out)
    tapped(PROGRAM, CHAT, peek(STREAM), STREAM, out)
    assert captures._open == {}


def test_only_the_chunk_of_usage_is_taken_out() -> None:
    assert passed(*EVENTS, USAGE, b"data: [DONE]\n\n") == b"".join(EVENTS) + b"data: [DONE]\n\n"


def test_an_event_is_not_held_back_once_it_is_whole() -> None:
    got: list[bytes] = []
    tap = Unasked(got.append)
    tap.write(EVENTS[0] + EVENTS[1][:4])
    assert got == [EVENTS[0]]
    tap.write(EVENTS[1][4:])
    assert b"".join(got) == EVENTS[0] + EVENTS[1]


@given(st.lists(st.sampled_from((*EVENTS, USAGE)), max_size=8), st.lists(st.integers(1, 40), max_size=60))
def test_it_does_not_matter_how_a_stream_is_cut(events: list[bytes], sizes: list[int]) -> None:
    stream, pieces = b"".join(events), []
    for size in sizes:
        pieces.append(stream[:size])
        stream = stream[size:]
    cut = [piece for piece in (*pieces, stream) if piece]
    assert passed(*cut) == b"".join(event for event in events if event != USAGE)


def test_what_is_no_stream_passes_whole_and_nothing_grows_without_bound() -> None:
    error = b'{"error":{"message":"no"},"usage":{},"choices":[]}'
    assert passed(error[:9], error[9:]) == error
    long = b"data: " + b"x" * EVENT_LIMIT
    got: list[bytes] = []
    Unasked(got.append).write(long)
    assert got == [long]
