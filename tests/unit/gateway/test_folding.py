"""Streams of an engine as whole answers; the chunks are llama.cpp's."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from hostler.errors import EngineLost
from hostler.gateway.answering.folding import SHORT_BODY, SHORT_TOKENS, Folding, asked_of
from hostler.gateway.relay.http1 import Head

CHAT = b"/v1/chat/completions"
TEXT = b"/v1/completions"
COMMON = {"created": 1795282124, "id": "chatcmpl-E", "model": "toy", "system_fingerprint": "b0-unknown"}
TIMINGS = {"cache_n": 0, "prompt_n": 1331, "predicted_n": 3, "predicted_per_second": 3.0}
USAGE = {"completion_tokens": 3, "prompt_tokens": 1331, "total_tokens": 1334}
STREAM = Head(200, [(b"content-type", b"text/event-stream")], None)


class Heard:
    """A sink that remembers what it was told."""

    def __init__(self) -> None:
        self.status = 0
        self.length: int | None = None
        self.body = b""
        self.ended = False
        self.lost: EngineLost | None = None

    def on_head(self, head: Head, *, alone: bool) -> None:
        self.status, self.length = head.status, head.length

    def on_data(self, data: bytes) -> None:
        self.body += data

    def on_end(self) -> None:
        self.ended = True

    def on_lost(self, error: EngineLost, *, stale: bool) -> None:
        self.lost = error

    def on_stalled(self) -> None:
        raise AssertionError

    def json(self) -> object:
        assert self.ended
        assert self.length == len(self.body)
        return json.loads(self.body)


def chat(finish: str | None = None, **delta: object) -> dict[str, object]:
    choice = {"finish_reason": finish, "index": 0, "delta": delta}
    return {"choices": [choice], **COMMON, "object": "chat.completion.chunk"}


def told(kind: str, *chunks: dict[str, object], cut: int = 7) -> Heard:
    """What a client hears of that stream, which comes in pieces of ``cut`` bytes."""
    heard = Heard()
    fold = Folding(heard, kind)
    fold.on_head(STREAM, alone=True)
    stream = b"".join(b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in chunks) + b"data: [DONE]\n\n"
    for start in range(0, len(stream), cut):
        fold.on_data(stream[start : start + cut])
    fold.on_end()
    return heard


@pytest.mark.parametrize("cut", [1, 7, 100_000])
def test_a_chat_is_what_the_engine_would_have_said_at_once(cut: int) -> None:
    heard = told(
        "chat.completion",
        chat(role="assistant", content=None) | {"prompt_progress": {"total": 1331, "cache": 0, "processed": 512}},
        chat(role="assistant", content=None),
        chat(reasoning_content="Hm. "),
        chat(content="The"),
        chat(content=" s\u00e9a\n\n"),
        chat("length") | {"timings": TIMINGS},
        {"choices": [], **COMMON, "object": "chat.completion.chunk", "usage": USAGE},
        cut=cut,
    )
    message = {"role": "assistant", "content": "The s\u00e9a\n\n", "reasoning_content": "Hm. "}
    choice = {"finish_reason": "length", "index": 0, "message": message}
    whole = {"choices": [choice], **COMMON, "object": "chat.completion", "usage": USAGE, "timings": TIMINGS}
    assert heard.status == 200
    assert heard.json() == whole


def test_a_completion_keeps_its_probabilities() -> None:
    def piece(text: str, *tokens: str, finish: str | None = None) -> dict[str, object]:
        probabilities = {"content": [{"token": token, "logprob": -1.5} for token in tokens]} if tokens else None
        choice = {"text": text, "index": 0, "logprobs": probabilities, "finish_reason": finish}
        return {"choices": [choice], **COMMON, "object": "text_completion"}

    heard = told(
        "text_completion", piece("-o", "-", "o"), piece("ne", "ne"), piece("", finish="stop") | {"usage": USAGE}
    )
    answer = heard.json()
    assert isinstance(answer, dict)
    (choice,) = answer["choices"]
    assert (choice["text"], choice["finish_reason"]) == ("-one", "stop")
    assert [each["token"] for each in choice["logprobs"]["content"]] == ["-", "o", "ne"]
    assert answer["usage"] == USAGE


@pytest.mark.parametrize("first", [chat(content="The"), chat(reasoning_content="Hm.")])
def test_an_answer_has_begun_with_its_first_word_not_with_progress(first: dict[str, object]) -> None:
    fold = Folding(Heard(), "chat.completion")
    fold.on_head(STREAM, alone=True)
    nothing = chat(role="assistant", content=None)
    for chunk in (nothing | {"prompt_progress": {"total": 9, "cache": 0, "processed": 5}}, nothing):
        fold.on_data(b"data: " + json.dumps(chunk).encode() + b"\n\n")
    assert not fold.begun
    fold.on_data(b"data: " + json.dumps(first).encode() + b"\n\n")
    assert fold.begun


def test_an_error_in_the_middle_is_the_answer() -> None:
    error = {"error": {"code": 500, "message": "Compute error.", "type": "server_error"}}
    heard = told("chat.completion", chat(content="The"), error)
    assert (heard.status, heard.json()) == (500, error)


def test_a_stream_that_ends_before_its_answer_is_a_lost_engine() -> None:
    heard = told("chat.completion", chat(content="The"))
    assert heard.lost is not None
    assert not heard.ended


def test_a_chunk_that_cannot_be_read_is_a_lost_engine() -> None:
    heard = Heard()
    fold = Folding(heard, "chat.completion")
    fold.on_head(STREAM, alone=True)
    fold.on_data(b'data: {"choices": 7}\n\n')
    fold.on_data(b"data: " + json.dumps(chat("stop")).encode() + b"\n\n")
    fold.on_end()
    assert heard.lost is not None


def test_an_answer_that_is_no_stream_passes_as_it_is() -> None:
    heard = Heard()
    fold = Folding(heard, "chat.completion")
    fold.on_head(Head(400, [(b"content-type", b"application/json")], 2), alone=False)
    fold.on_data(b"{}")
    fold.on_end()
    assert (heard.status, heard.body, heard.ended) == (400, b"{}", True)


LONG = {"model": "toy", "messages": [], "max_tokens": SHORT_TOKENS + 1}


@pytest.mark.parametrize(
    ("target", "body", "folded"),
    [
        (CHAT, LONG, True),
        (CHAT, {"messages": [], "stream": False}, True),
        (CHAT, LONG | {"max_tokens": SHORT_TOKENS}, False),
        (CHAT, {"messages": "x" * SHORT_BODY, "max_tokens": 1}, True),
        (CHAT, LONG | {"tools": []}, False),
        (CHAT, LONG | {"n": 2}, False),
        (TEXT, {"prompt": "One"}, True),
        (TEXT, {"prompt": ["One", "Two"]}, False),
        (b"/v1/embeddings", {"input": "One"}, False),
        (b"/v1/messages", LONG, False),
    ],
)
def test_what_is_folded(target: bytes, body: dict[str, object], folded: bool) -> None:
    sent, heard = json.dumps(body).encode(), Heard()
    asked, sink = asked_of(target, SimpleNamespace(beside=True), False, sent, heard)
    assert isinstance(sink, Folding) == folded
    if folded:
        added = {"stream": True, "return_progress": True, "stream_options": {"include_usage": True}}
        assert json.loads(asked) == body | added
    else:
        assert (asked, sink) == (sent, heard)


def progress(processed: int) -> dict[str, object]:
    return chat(role="assistant", content=None) | {"prompt_progress": {"total": 1331, "processed": processed}}


def events(*chunks: dict[str, object]) -> bytes:
    return b"".join(b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in chunks)


@pytest.mark.parametrize("cut", [1, 7, 100_000])
def test_a_stream_with_a_long_prompt_hears_nothing_of_its_progress(cut: int) -> None:
    heard = Heard()
    sent = json.dumps({"model": "toy", "stream": True, "messages": "x" * SHORT_BODY}).encode()
    asked, quiet = asked_of(CHAT, SimpleNamespace(beside=True), True, sent, heard)
    assert json.loads(asked) == json.loads(sent) | {"return_progress": True}
    quiet.on_head(STREAM, alone=True)
    for piece in (events(progress(0)), events(progress(512))):
        quiet.on_data(piece)
    assert heard.status == 0  # lost now, it would be asked again
    answer = events(chat(role="assistant", content=None), chat(content="The"), chat("stop")) + b"data: [DONE]\n\n"
    whole = events(progress(1331)) + answer
    for start in range(0, len(whole), cut):
        quiet.on_data(whole[start : start + cut])
    quiet.on_end()
    assert (heard.status, heard.body, heard.ended) == (200, answer, True)


def test_a_stream_that_ends_in_its_prompt_has_no_body() -> None:
    """Bytes that are none would end a chunked answer, and its real end would then be another one's begin."""
    pieces: list[bytes] = []
    heard = Heard()
    heard.on_data = pieces.append  # type: ignore[method-assign]
    sent = json.dumps({"model": "toy", "stream": True, "prompt": "x" * SHORT_BODY}).encode()
    _, quiet = asked_of(TEXT, SimpleNamespace(beside=True), True, sent, heard)
    quiet.on_head(STREAM, alone=True)
    quiet.on_data(events(progress(512)))
    quiet.on_end()
    assert (heard.status, pieces, heard.ended) == (200, [], True)


def test_a_client_that_asks_for_progress_gets_it() -> None:
    body = {"stream": True, "messages": "x" * SHORT_BODY, "return_progress": True}
    sent, heard = json.dumps(body).encode(), Heard()
    assert asked_of(CHAT, SimpleNamespace(beside=True), True, sent, heard) == (sent, heard)


@pytest.mark.parametrize(("beside", "stream"), [(False, False), (True, True)])
def test_streams_and_engines_of_one_slot_are_asked_as_the_client_asks(beside: bool, stream: bool) -> None:
    sent, heard = json.dumps(LONG).encode(), Heard()
    assert asked_of(CHAT, SimpleNamespace(beside=beside), stream, sent, heard) == (sent, heard)
