"""Token counts out of the last words of an answer."""

from __future__ import annotations

import json

import pytest

from hostler.fleet.protocol import Timing
from hostler.gateway.answering.tail import TAIL_LIMIT, Tail, Tokens, read_tokens

USAGE = {"usage": {"prompt_tokens": 12, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": 4}}}
TIMINGS = {"timings": {"cache_n": 5, "prompt_n": 7, "prompt_ms": 1.5, "predicted_n": 2}}


@pytest.mark.parametrize(
    ("said", "tokens"),
    [
        (USAGE, Tokens(12, 4, 3)),
        (TIMINGS, Tokens(12, 5, 2)),
        (USAGE | TIMINGS, Tokens(12, 5, 2)),
        (
            {"usage": {"input_tokens": 8, "output_tokens": 9, "input_tokens_details": {"cached_tokens": 1}}},
            Tokens(8, 1, 9),
        ),
        ({"usage": {"input_tokens": 8, "output_tokens": 9, "cache_read_input_tokens": 1}}, Tokens(9, 1, 9)),
        ({"usage": {"prompt_tokens": 12, "total_tokens": 12}}, Tokens(12)),
        ({"usage": None}, Tokens()),
        ({"choices": []}, Tokens()),
        ({"content": 'the words "usage": {"prompt_tokens": 1}'}, Tokens()),
    ],
)
def test_every_dialect(said: object, tokens: Tokens) -> None:
    assert read_tokens(b"", json.dumps(said).encode()) == tokens


def test_all_of_a_timing_or_none_of_it() -> None:
    whole = {
        "cache_n": 5, "prompt_n": 7, "prompt_ms": 1.5, "predicted_n": 2, "predicted_ms": 10,
        "predicted_per_second": 200.125,
    }  # fmt: skip
    told = read_tokens(b"", json.dumps({"timings": whole}).encode())
    assert told == Tokens(12, 5, 2, 200.125, Timing(5, 7, 1.5, 2, 10.0))
    for name in ("prompt_n", "prompt_ms", "predicted_n", "predicted_ms"):
        part = {key: value for key, value in whole.items() if key != name}
        assert read_tokens(b"", json.dumps({"timings": part}).encode()).timing is None
    odd = whole | {"prompt_ms": 1.5e-9, "predicted_ms": float("nan")}
    assert read_tokens(b"", json.dumps({"timings": odd}).encode()).timing is None


@pytest.mark.parametrize(
    ("stream", "all_said"),
    [
        (b"data: {}\n\ndata: [DONE]\n\n", True),
        (b'event: response.completed\ndata: {"type":"response.completed"}\n\n', True),
        (b"event: message_stop\ndata: {}\n\n", True),
        (b'data: {"content":"data: [DONE]"}\n\n', False),
        (b'event: message_delta\ndata: {"text":"event: message_stop"}\n\n', False),
        (b"", False),
    ],
)
def test_whether_a_stream_has_said_all(stream: bytes, all_said: bool) -> None:
    tail = Tail()
    for at in range(len(stream)):
        tail.add(stream[at : at + 1])
    assert tail.said_all == all_said


def test_only_the_end_is_kept() -> None:
    tail = Tail()
    for _ in range(1000):
        tail.add(b"x" * 500)
    tail.add(json.dumps(USAGE).encode())
    assert tail.tokens() == Tokens(12, 4, 3)
    assert sum(map(len, tail._pieces)) <= 5 * TAIL_LIMIT


def test_what_comes_first_counts_where_the_end_does_not_say_it() -> None:
    tail = Tail()
    tail.add(b'event: message_start\ndata: {"message":{"usage":{"cache_read_input_tokens":31,"input_tokens":1}}}\n\n')
    for _ in range(1000):
        tail.add(b"x" * 500)
    tail.add(b'event: message_delta\ndata: {"usage":{"output_tokens":4}}\n\nevent: message_stop\n\n')
    assert tail.tokens() == Tokens(32, 31, 4)


def test_embeddings_that_follow_their_usage() -> None:
    tail = Tail()
    tail.add(b'{"usage":{"prompt_tokens":2,"total_tokens":2},"data":[{"embedding":[' + b"0.125," * 20_000 + b"1]}]}")
    assert tail.tokens() == Tokens(2)


def test_what_a_request_took_is_known_without_times() -> None:
    assert Tokens(12, 5, 2, 200.125, Timing(5, 7, 1.5, 2, 10.0)).told == Timing(5, 7, 1.5, 2, 10.0)
    assert Tokens(8, 1, 9).told == Timing(1, 7, 0.0, 9, 0.0)
    assert Tokens(8, 1, 9).told.prefill is None
    assert Tokens().told is None
