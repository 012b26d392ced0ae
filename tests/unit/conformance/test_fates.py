"""What an answer is taken for."""

from __future__ import annotations

import json

import pytest

from hostler.conformance.asks import Ask, Leaving, Subject
from hostler.conformance.fates import Answered, Broken, Cut, Left, Refused, judged
from hostler.testing.http import Response

CHUNK = {"id": "c-1", "object": "chat.completion.chunk", "model": "coder"}


def ask(*, stream: bool = False, tokens: int = 3, leaving: Leaving | None = None) -> Ask:
    return Ask(
        number=1, id="conf-1-1", subject=Subject("coder"), stream=stream, tokens=tokens, words=1, leaving=leaving
    )


def answer(tokens: int = 3, *, finish: str | None = "length", model: str = "coder", total: int | None = None) -> bytes:
    choice = {"message": {"content": "one two"}, "finish_reason": finish}
    usage = {"prompt_tokens": 5, "completion_tokens": tokens, "total_tokens": 5 + tokens if total is None else total}
    return json.dumps({"id": "c-1", "model": model, "choices": [choice], "usage": usage}).encode()


def whole(body: bytes, status: int = 200, complete: bool = True, **headers: str) -> Response:
    return Response(status, {name.replace("_", "-"): value for name, value in headers.items()}, body, complete)


def stream(*events: object, complete: bool = True) -> Response:
    lines = [event if isinstance(event, str) else json.dumps(event) for event in events]
    body = "".join(line if line.startswith(":") else f"data: {line}\n\n" for line in lines).encode()
    return Response(200, {"content-type": "text/event-stream"}, body, complete)


def said(text: str | None = None, finish: str | None = None, **more: object) -> dict[str, object]:
    return {**CHUNK, "choices": [{"delta": {"content": text}, "finish_reason": finish}], **more}


COUNTED = {**CHUNK, "choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8}}


def test_a_whole_answer() -> None:
    assert judged(ask(), whole(answer()), exact=True) == Answered(3)


@pytest.mark.parametrize(
    ("response", "why"),
    [
        (whole(answer(), complete=False), "ended inside"),
        (whole(answer(4)), "4 tokens"),
        (whole(answer(2)), "2 tokens"),
        (whole(answer(finish=None)), "finish reason"),
        (whole(answer(total=9)), "counted as 9"),
        (whole(answer(model="other")), "'other'"),
        (whole(b'{"choices": []}'), "0 choices"),
        (whole(b"<html>"), "cannot be read"),
        (whole(b"", status=500), "without an error object"),
        (whole(b'{"error": {"message": ""}}', status=400), "without a message"),
        (whole(b'{"error": {"message": "full", "code": "queue_full"}}', status=503), "without Retry-After"),
        (whole(b'{"error": {"message": "full"}}', status=429, retry_after="soon"), "Retry-After is"),
    ],
)
def test_what_is_wrong_with_a_whole_answer(response: Response, why: str) -> None:
    fate = judged(ask(), response, exact=True)
    assert isinstance(fate, Broken)
    assert why in fate.reason


def test_fewer_tokens_are_fine_where_a_model_may_stop() -> None:
    assert judged(ask(), whole(answer(2, finish="stop")), exact=False) == Answered(2)
    assert isinstance(judged(ask(), whole(answer(2, finish="length")), exact=False), Broken)


def test_a_refusal() -> None:
    body = b'{"error": {"message": "Later.", "code": "queue_full"}}'
    assert judged(ask(), whole(body, 503, retry_after="7"), exact=True) == Refused(503, "queue_full", "Later.", 7.0)
    never = b'{"error": {"message": "Never.", "code": "never_fits"}}'
    assert isinstance(judged(ask(), whole(never, 503, x_should_retry="false"), exact=True), Refused)


def test_a_stream() -> None:
    events = (": hostler place=1\n\n", said("one"), said(" two"), said(finish="length"), COUNTED, "[DONE]")
    assert judged(ask(stream=True), stream(*events), exact=True) == Answered(3)


@pytest.mark.parametrize(
    ("response", "why"),
    [
        (stream(said("one"), said(finish="length"), COUNTED), "0 ends"),
        (stream(said("one"), "[DONE]", COUNTED, "[DONE]"), "2 ends"),
        (stream(said("one"), COUNTED, "[DONE]"), "0 finish reasons"),
        (stream(said("one"), said(" two", id="c-2"), said(finish="length"), COUNTED, "[DONE]"), "different answers"),
        (stream(said("one"), said(finish="length"), "[DONE]"), "not counted"),
        (stream(said("one"), '{"half', "[DONE]"), "cannot be read"),
        (stream(said("one"), complete=False), "ended inside"),
        (whole(answer(), content_type="application/json"), "a stream of"),
    ],
)
def test_what_is_wrong_with_a_stream(response: Response, why: str) -> None:
    fate = judged(ask(stream=True), response, exact=True)
    assert isinstance(fate, Broken)
    assert why in fate.reason


def test_a_stream_that_says_why_it_ends() -> None:
    error = {"error": {"message": "The engine ended.", "code": "engine_lost"}}
    cut = stream(said("one"), '{"half-said', error, "[DONE]")
    assert judged(ask(stream=True), cut, exact=True) == Cut("engine_lost", "The engine ended.")


def test_an_operators_cancel_is_no_fault() -> None:
    operator = Leaving("operator")
    error = {"error": {"message": "An operator cancelled this request.", "code": "cancelled"}}
    refusal = whole(json.dumps(error).encode(), 499)
    assert judged(ask(leaving=operator), refusal, exact=True) == Left("operator")
    assert judged(ask(stream=True, leaving=operator), stream(error, "[DONE]"), exact=True) == Left("operator")
    assert judged(ask(leaving=operator), whole(b"half", complete=False), exact=True) == Left("operator")
    assert judged(ask(leaving=operator), whole(answer()), exact=True) == Answered(3)
    # Nobody asked for this one to be cancelled.
    assert isinstance(judged(ask(), refusal, exact=True), Refused)
