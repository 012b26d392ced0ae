"""Every error of the tree has a status and a body in every API's words."""

from __future__ import annotations

import json

import pytest

from hostler import errors
from hostler.errors import HostlerError
from hostler.gateway.errors import Family, body_of, event_of, headers_of, status_of


def tree(kind: type[HostlerError] = HostlerError) -> list[type[HostlerError]]:
    """The classes that `errors.py` declares; a room's own refinement of one has the status of its base."""
    below = [child for child in kind.__subclasses__() if child.__module__ == errors.__name__]
    return [kind, *(each for child in below for each in tree(child))]


@pytest.mark.parametrize("kind", tree())
def test_status(kind: type[HostlerError]) -> None:
    status = status_of(kind("Something."))
    assert 400 <= status < 600
    assert (status < 500) == issubclass(kind, errors.RequestError)


@pytest.mark.parametrize("family", ["openai", "anthropic", "ollama", "problem"])
def test_the_body_says_who_spoke_and_what_to_do(family: Family) -> None:
    body = body_of(errors.EngineLost("The engine ended."), family)
    said = json.loads(body)
    assert '"source":"engine"' in body.decode()
    assert "engine_lost" in body.decode()
    assert "Send the request again" in body.decode()
    assert "error" in said


@pytest.mark.parametrize("family", ["openai", "anthropic", "ollama", "problem"])
def test_the_class_of_a_failure_and_its_evidence_are_told(family: Family) -> None:
    error = errors.OutOfMemory("It could not get 1 GiB.")
    error.cause, error.evidence = "out_of_memory", "failed to allocate CUDA0 buffer"
    body = body_of(error, family).decode()
    assert '"cause":"out_of_memory"' in body
    assert "failed to allocate CUDA0 buffer" in body
    assert family == "problem" or "cause" not in body_of(errors.QueueFull("Full."), family).decode()


@pytest.mark.parametrize("family", ["openai", "anthropic", "ollama", "problem"])
def test_a_file_whose_name_is_no_text_is_told_too(family: Family) -> None:
    """The request got no answer, and no model was listed any more."""
    error = errors.ModelError("/models/caf\udce9.gguf is empty.")
    assert rb"caf\\udce9.gguf is empty" in body_of(error, family)


def test_openai_stream_event_ends_the_stream() -> None:
    event = event_of(errors.EngineLost("Gone."), "openai")
    assert event.startswith(b'data: {"error":{')
    assert event.endswith(b"\n\ndata: [DONE]\n\n")


@pytest.mark.parametrize("family", ["openai", "anthropic", "ollama"])
def test_a_stream_that_has_begun_hears_when_to_try_again(family: Family) -> None:
    assert b'"retry_after":5' in event_of(errors.Draining("The gateway is stopping."), family)
    assert b"retry_after" not in event_of(errors.EngineLost("Gone."), family)


def test_retry_headers() -> None:
    headers = dict(headers_of(errors.QueueFull("Full.", retry_after_s=0.2)))
    assert headers[b"retry-after"] == b"1"
    assert dict(headers_of(errors.NeverFits("Too big.")))[b"x-should-retry"] == b"false"
