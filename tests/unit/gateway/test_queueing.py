"""What is said of the line in headers, and what a client may ask of it."""

from __future__ import annotations

import pytest

from hostler.errors import Draining, InvalidRequest, QueueFull
from hostler.fleet.protocol import Standing
from hostler.gateway.answering.sse import Notes
from hostler.gateway.errors import headers_of
from hostler.gateway.relay.queue import priority_of, queue_lines, timed_out


def test_a_priority_is_one_of_two() -> None:
    assert priority_of({}) is None
    assert priority_of({b"x-hostler-priority": b" Batch "}) == "batch"
    with pytest.raises(InvalidRequest, match="urgent"):
        priority_of({b"x-hostler-priority": b"urgent"})


def test_an_answer_that_begins_while_its_request_waits_says_its_place() -> None:
    standing = Standing(3, "queued", None, 1.0, 12.4)
    assert queue_lines(standing) == b"x-hostler-queue-place: 3\r\nx-hostler-queue-wait: 13\r\n"
    assert queue_lines(Standing(0, "loading", None, 1.0)) == b""


def test_notes_say_only_what_is_new() -> None:
    notes = Notes("req-1", "a", 0.0)
    assert b"Waiting for a: place 2 in line." in notes.of(Standing(2, "queued", None, 1.0))
    assert notes.of(Standing(2, "queued", None, 3.0)) == b""
    assert b"Loading a: loading tensors, 30%, place 2 in line." in notes.of(Standing(2, "loading tensors", 0.31, 4.0))
    assert notes.of(Standing(2, "loading tensors", 0.39, 5.0)) == b""
    assert b"Loading a: starting." in notes.of(Standing(1, "starting", None, 6.0))


def test_a_gateway_that_stops_says_when_to_come_back() -> None:
    assert dict(headers_of(Draining("no")))[b"retry-after"] == b"5"


def test_a_refusal_says_when_to_come_back() -> None:
    error = timed_out("a", 5.0, Standing(2, "queued", None, 5.0, 7.2))
    full = QueueFull("no", retry_after_s=4.5)
    full.place = 9
    for each, place, wait in ((error, b"2", b"8"), (full, b"9", b"5")):
        headers = dict(headers_of(each))
        assert headers[b"x-hostler-queue-place"] == place
        assert headers[b"x-hostler-queue-wait"] == headers[b"retry-after"] == wait
