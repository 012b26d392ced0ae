"""Errors survive the way over HTTP."""

from __future__ import annotations

import msgspec
import pytest

from hostler import errors
from hostler.client.problems import CLASSES, Refused, from_body, from_event
from hostler.errors import HostlerError, InvalidRequest, QueueFull, UnknownProfile
from hostler.wire.management import Problem, ProblemBody


def test_the_table_holds_every_code_of_the_tree() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, HostlerError)]
    assert {kind.code for kind in kinds} == set(CLASSES)


@pytest.mark.parametrize("code", sorted(CLASSES))
def test_an_error_comes_back_as_its_class(code: str) -> None:
    body = msgspec.json.encode(ProblemBody(Problem(code=code, message="What happened.", hint="What to do.")))
    error = from_body(500, body)
    assert type(error) is CLASSES[code]
    assert (error.message, error.hint) == ("What happened.", "What to do.")


def test_openai_and_plain_envelopes_are_read_too() -> None:
    body = b'{"error":{"message":"No such model.","type":"invalid_request_error","code":"model_not_found"}}'
    assert isinstance(from_body(404, body), UnknownProfile)
    assert from_body(404, b'{"error":"nope"}').message == "nope"


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"error":null}', b'{"error":{"message":5}}', b"\xff\xfe"])
def test_any_other_body_is_an_error_with_the_status(body: bytes) -> None:
    error = from_body(502, body)
    assert isinstance(error, HostlerError)
    assert "502" in error.message


def test_an_unknown_code_is_kept() -> None:
    error = from_body(418, b'{"error":{"code":"teapot","message":"Short and stout."}}')
    assert isinstance(error, Refused)
    assert error.said == "teapot"


def test_retry_after_is_read_from_the_body_or_the_header() -> None:
    assert from_body(503, b'{"error":{"code":"queue_full","message":"m"}}', "7").retry_after_s == 7
    told = from_body(503, b'{"error":{"code":"queue_full","message":"m","retry_after_s":2.5}}', "7")
    assert isinstance(told, QueueFull)
    assert told.retry_after_s == 2.5
    assert from_body(503, b'{"error":{"code":"queue_full","message":"m"}}', "tomorrow").retry_after_s is None


def test_only_an_error_event_is_an_error() -> None:
    assert from_event(b'{"choices":[{"delta":{"content":"an \\"error\\" of mine"}}]}') is None
    assert isinstance(from_event(b'{"error":{"message":"m","code":"invalid_request"}}'), InvalidRequest)


def test_a_hint_that_a_message_ends_with_is_told_once() -> None:
    """`hostler chat` told what to do twice, since OpenAI's form has it in the message too."""
    error = from_event(b'{"error":{"message":"It hangs. Send it again.","code":"engine_lost","hint":"Send it again."}}')
    assert str(error) == "It hangs. Send it again."
