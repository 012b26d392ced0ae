"""What the engine's answers become: lines of Ollama's streams, its whole answers, its errors."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from itertools import count, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostler.errors import RemoteFailed
from hostler.gateway.translate.ollama.answers import Course, Stamps, Voice, embedded, problem, whole
from hostler.gateway.translate.ollama.memory import unpacked
from hostler.gateway.translate.ollama.stream import OllamaStream

TIMINGS = {"cache_n": 2, "prompt_n": 10, "prompt_ms": 50.0, "predicted_n": 3, "predicted_ms": 20.5}
USAGE = {"prompt_tokens": 12, "completion_tokens": 3, "total_tokens": 15}
NOW = 1_795_000_000.25


def delta(finish: str | None = None, **fields: object) -> dict[str, object]:
    return {"choices": [{"index": 0, "delta": fields, "finish_reason": finish}]}


def call(index: int, arguments: str, **fields: object) -> dict[str, object]:
    return delta(tool_calls=[{"index": index, "function": {"arguments": arguments, **fields}}])


def events(*chunks: object, end: bytes = b"data: [DONE]\n\n") -> bytes:
    return b": a comment\n\n" + b"".join(b"data: " + json.dumps(one).encode() + b"\n\n" for one in chunks) + end


SPOKEN = events(
    delta(role="assistant", content=None),
    delta(reasoning_content="Hm, "),
    delta(content="The "),
    delta(content="sea \U0001f30a."),
    {**delta("stop"), "timings": TIMINGS},
    {"choices": [], "usage": USAGE, "timings": TIMINGS},
)
CALLED = events(
    delta(content="Wait."),
    call(0, "", name="depth"),
    call(0, '{"at":'),
    call(0, "[1]}"),
    call(1, "not json", name="width"),
    delta("tool_calls"),
)


def course(clock: Callable[[], float] = lambda: NOW) -> Course:
    return Course("tiny", clock, NOW - 1.0, 0.25)


def lines(stream: OllamaStream, pieces: Sequence[bytes]) -> list[dict]:  # type: ignore[type-arg]
    said = b"".join([*map(stream.feed, pieces), stream.end()])
    assert not said or said.endswith(b"\n")
    return [json.loads(line) for line in said.splitlines()]


def spoken(data: bytes, voice: Voice | None = None) -> list[dict]:  # type: ignore[type-arg]
    return lines(OllamaStream(voice or Voice("chat"), course()), [data])


def test_a_chat_stream() -> None:
    thought, first, second, last = spoken(SPOKEN)
    assert thought["message"] == {"role": "assistant", "content": "", "thinking": "Hm, "}
    assert first["message"]["content"] + second["message"]["content"] == "The sea \U0001f30a."
    assert [one["done"] for one in (thought, first, second)] == [False] * 3
    assert last == {
        "model": "tiny", "created_at": "2026-11-18T11:06:40.250000Z", "message": {"role": "assistant", "content": ""},
        "done": True, "done_reason": "stop", "total_duration": 10**9, "load_duration": 250_000_000,
        "prompt_eval_count": 12, "prompt_eval_duration": 50_000_000, "eval_count": 3, "eval_duration": 20_500_000,
    }  # fmt: skip


def test_calls_of_tools_are_told_whole() -> None:
    said, called, last = spoken(CALLED)
    assert said["message"]["content"] == "Wait."
    depth, width = (one["function"] for one in called["message"]["tool_calls"])
    assert depth == {"index": 0, "name": "depth", "arguments": {"at": [1]}}
    assert width["arguments"] == {"arguments": "not json"}
    assert last["done_reason"] == "stop"


def test_a_response_to_a_prompt_remembers_what_was_said() -> None:
    *pieces, last = spoken(SPOKEN, Voice("generate", [("user", "What?")]))
    assert "".join(one["response"] for one in pieces) == "The sea \U0001f30a."
    assert pieces[0]["thinking"] == "Hm, "
    assert last["response"] == ""
    assert unpacked(last["context"]) == [("user", "What?"), ("assistant", "The sea \U0001f30a.")]


def test_texts_and_infills() -> None:
    text = events({"choices": [{"text": "Once"}]}, {"choices": [{"text": "", "finish_reason": "length"}]})
    infill = events({"content": "Once", "stop": False}, {"content": "", "stop": True, "stop_type": "limit"}, end=b"")
    for data in (text, infill):
        first, last = spoken(data, Voice("generate"))
        assert (first["response"], last["done_reason"]) == ("Once", "length")
        assert "context" not in last


def test_an_error_in_the_middle_is_the_last_line() -> None:
    error = {"error": {"message": "The engine was lost.", "code": "engine_lost", "source": "gateway"}}
    first, last = spoken(events(delta(content="The "), error, delta(content="sea")))
    assert first["message"]["content"] == "The "
    assert last == {"error": "The engine was lost.", "code": "engine_lost", "source": "gateway"}


def test_a_stream_that_breaks_off_ends_with_an_error() -> None:
    assert "error" in spoken(events(delta(content="The "), end=b""))[-1]
    with pytest.raises(RemoteFailed):
        OllamaStream(Voice("chat"), course()).feed(b"data: {nothing\n\n")


@given(st.sampled_from([SPOKEN, CALLED]), st.sets(st.integers(1, len(SPOKEN) - 1), max_size=12))
def test_however_it_is_cut_it_says_the_same(data: bytes, cuts: set[int]) -> None:
    places = [0, *sorted(cut for cut in cuts if cut < len(data)), len(data)]
    pieces = [data[begin:end] for begin, end in pairwise(places)]
    assert lines(OllamaStream(Voice("chat"), course()), pieces) == spoken(data)


def test_byte_by_byte() -> None:
    pieces = [SPOKEN[at : at + 1] for at in range(len(SPOKEN))]
    assert lines(OllamaStream(Voice("chat"), course()), pieces) == spoken(SPOKEN)


@given(st.binary(max_size=200))
def test_whatever_an_engine_says_is_lines_or_a_failure(data: bytes) -> None:
    try:
        lines(OllamaStream(Voice("generate", []), course()), [b"data: " + data + b"\n\n"])
    except RemoteFailed:
        return


def test_whole_answers() -> None:
    message = {"role": "assistant", "content": "The sea.", "reasoning_content": "Hm."}
    body = {"choices": [{"message": message, "finish_reason": "length"}], "usage": USAGE, "timings": TIMINGS}
    answer = json.loads(whole(json.dumps(body).encode(), Voice("chat"), course()))
    assert answer["message"] == {"role": "assistant", "content": "The sea.", "thinking": "Hm."}
    assert (answer["done"], answer["done_reason"], answer["eval_count"]) == (True, "length", 3)
    with pytest.raises(RemoteFailed):
        whole(b"<html>", Voice("chat"), course())


def test_without_the_engines_times_its_first_piece_parts_them() -> None:
    ticks = count(1)
    stream = OllamaStream(Voice("chat"), Course("tiny", lambda: float(next(ticks)), 0.0, 0.0))
    last = lines(stream, [events(delta(content="a"), delta(content="b"), delta("stop"))])[-1]
    assert last["prompt_eval_duration"] == 10**9
    assert last["eval_duration"] > 0
    assert last["prompt_eval_duration"] + last["eval_duration"] <= last["total_duration"]


def test_vectors_and_their_first_numbers() -> None:
    body = json.dumps({"data": [{"embedding": [3.0, 4.0, 12.0]}], "usage": USAGE}).encode()
    answer = json.loads(embedded(body, "embed", None, course()))
    assert (answer["embeddings"], answer["prompt_eval_count"]) == ([[3.0, 4.0, 12.0]], 12)
    assert json.loads(embedded(body, "embed", 2, course()))["embeddings"] == [[0.6, 0.8]]
    assert json.loads(embedded(body, "embeddings", None, course())) == {"embedding": [3.0, 4.0, 12.0]}


def test_errors() -> None:
    unknown = {"error": {"message": 'No profile is named "x".', "code": "model_not_found", "source": "gateway"}}
    said = problem(json.dumps(unknown).encode(), "x")
    assert (said.error, said.hint) == ("model 'x' not found", 'No profile is named "x".')
    assert problem(b'{"error":{"code":400,"message":"Too long."}}', "x").error == "Too long."
    assert problem(b"<html>", "x").error == "<html>"


def test_times_are_written_as_the_api_does() -> None:
    stamps = Stamps()
    assert [stamps.of(0.5), stamps.of(0.75), stamps.of(1.0)] == [
        "1970-01-01T00:00:00.500000Z", "1970-01-01T00:00:00.750000Z", "1970-01-01T00:00:01.000000Z",
    ]  # fmt: skip
