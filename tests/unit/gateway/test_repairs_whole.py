"""Whole answers and errors of llama.cpp, put right."""

from __future__ import annotations

import base64
import json
import math
from array import array

import msgspec
import pytest

from hostler.gateway.answering.repairs import dimensions, responses, stops
from hostler.gateway.answering.repairs.blame import blamed
from hostler.gateway.answering.repairs.protocol import Asked
from hostler.gateway.asking.checks.reading import read
from hostler.gateway.errors import Family


def asked(api: str, body: dict[str, object]) -> Asked:
    return Asked("req-1", "tiny", read(api, json.dumps(body).encode()))


def fault(message: str, status: int = 500, **more: object) -> bytes:
    return json.dumps({"error": {"code": status, "message": message, "type": "server_error", **more}}).encode()


@pytest.mark.parametrize(
    "message",
    [
        '"prompt" is required',
        "Only no echo is supported",
        "[json.exception.type_error.302] type must be string, but is number",
        "Failed to parse tools: Missing tool type: {}; tools = [{}]",
        "image input is not supported - hint: if this is unexpected, you may need to provide the mmproj",
        '"json_schema": Unrecognized schema: {"type": 5}',
        "Unable to generate parser for this template. Jinja Exception: Conversation roles must alternate",
    ],
)
def test_what_the_client_did_wrong_is_no_failure_of_the_engine(message: str) -> None:
    status, body = blamed(500, fault(message), "openai")
    told = json.loads(body)["error"]
    assert (status, told["type"], told["source"]) == (400, "invalid_request_error", "engine")
    assert told["message"] == message


@pytest.mark.parametrize("message", ["Compute error.", "failed to allocate compute buffer", "no slot available", "?"])
def test_what_the_engine_did_wrong_stays_its_own(message: str) -> None:
    assert blamed(500, fault(message), "openai") == (500, fault(message))


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, "invalid_request_error"), (404, "not_found_error"), (500, "api_error"), (503, "overloaded_error")],
)
def test_anthropics_clients_hear_errors_in_their_envelope(status: int, kind: str) -> None:
    told_status, body = blamed(status, fault("Compute error.", status, n_ctx=512), "anthropic")
    told = json.loads(body)
    assert (told_status, told["type"], told["error"]["type"]) == (status, "error", kind)
    assert (told["error"]["message"], told["error"]["n_ctx"]) == ("Compute error.", 512)


@pytest.mark.parametrize("family", ["openai", "anthropic"])
@pytest.mark.parametrize("body", [b"", b"not JSON \xff", b"[]"])
def test_an_error_that_cannot_be_read_is_told_in_an_envelope(family: Family, body: bytes) -> None:
    status, told = blamed(500, body, family)
    assert status == 500
    assert json.loads(told)["error"]["message"]


def test_a_response_has_every_field() -> None:
    usage = {"input_tokens": 5, "output_tokens": 2, "total_tokens": 7}
    body = {"id": "resp_1", "object": "response", "model": "m", "output": [], "status": "completed", "usage": usage}
    wish = asked("responses", {"input": "x", "instructions": "Be brief.", "max_output_tokens": 9})
    told = json.loads(responses.whole(wish, json.dumps(body).encode()))
    assert (told["id"], told["model"], told["status"], told["instructions"]) == (
        "resp_1",
        "m",
        "completed",
        "Be brief.",
    )
    assert (told["tools"], told["error"], told["tool_choice"]) == ([], None, "auto")
    assert told["usage"]["output_tokens_details"] == {"reasoning_tokens": 0}


@pytest.mark.parametrize(
    ("got", "context", "cut"),
    [
        ({"max_output_tokens": 9}, 0, True),
        ({"max_output_tokens": 10}, 0, False),
        ({"max_tokens": 9}, 0, True),
        ({"max_tokens": 9, "max_output_tokens": 10}, 0, False),
        ({"max_output_tokens": -1}, 0, False),
        ({"n_predict": "nine"}, 0, False),
        ({}, 14, True),
        ({}, 15, False),
    ],
)
def test_a_response_that_reached_a_bound_is_incomplete(got: dict[str, object], context: int, cut: bool) -> None:
    """Its client's, its profile's or that of the room left, as the engine got it; or the end of the context."""
    body = b'{"id":"r","status":"completed","usage":{"input_tokens":5,"output_tokens":9}}'
    wish = msgspec.structs.replace(
        asked("responses", {"input": "x"}), body=json.dumps({"input": "x", **got}).encode(), context=context
    )
    told = json.loads(responses.whole(wish, body))
    details = {"reason": "max_output_tokens"} if cut else None
    assert (told["status"], told["incomplete_details"]) == ("incomplete" if cut else "completed", details)


@pytest.mark.parametrize(
    ("context", "status"), [(0, "completed"), (16, "completed"), (15, "incomplete"), (14, "incomplete")]
)
def test_so_is_one_that_reached_the_end_of_the_context(context: int, status: str) -> None:
    """Its bound was cut to the room left, and what was shorter than the client's own seemed whole."""
    wish = msgspec.structs.replace(asked("responses", {"input": "x", "max_output_tokens": 90}), context=context)
    body = b'{"id":"r","status":"completed","usage":{"input_tokens":6,"output_tokens":9}}'
    assert json.loads(responses.whole(wish, body))["status"] == status


@pytest.mark.parametrize("status", ["failed", "incomplete"])
def test_what_an_engine_says_of_an_end_that_is_none_stays(status: str) -> None:
    said = {"status": status, "incomplete_details": {"reason": "content_filter"}, "usage": {"output_tokens": 9}}
    told = json.loads(responses.whole(asked("responses", {"input": "x"}), json.dumps(said).encode()))
    wish = msgspec.structs.replace(asked("responses", {"input": "x"}), body=b'{"max_output_tokens":9}')
    assert json.loads(responses.whole(wish, json.dumps(said).encode())) == told
    assert (told["status"], told["incomplete_details"]) == (status, said["incomplete_details"])


@pytest.mark.parametrize("coded", [False, True])
def test_a_vector_is_cut_and_its_length_is_one_again(coded: bool) -> None:
    vector = [3.0, 4.0, 12.0]
    written = base64.b64encode(array("f", vector).tobytes()).decode() if coded else vector
    body = json.dumps({"object": "list", "data": [{"index": 0, "embedding": written}], "usage": {"prompt_tokens": 1}})
    told = json.loads(dimensions.whole(asked("embeddings", {"input": "x", "dimensions": 2}), body.encode()))
    cut = told["data"][0]["embedding"]
    numbers = list(array("f", base64.b64decode(cut))) if coded else cut
    assert [round(number, 6) for number in numbers] == [0.6, 0.8]
    assert math.isclose(math.hypot(*numbers), 1, rel_tol=1e-6)
    assert (told["usage"], told["data"][0]["index"]) == ({"prompt_tokens": 1}, 0)


def test_a_vector_that_is_short_enough_stays() -> None:
    body = b'{"data":[{"embedding":[0.5,0.25]}]}'
    assert json.loads(dimensions.whole(asked("embeddings", {"input": "x", "dimensions": 9}), body)) == json.loads(body)
    for unread in (b"no JSON", b'{"data":[{"embedding":"A"}]}', b'{"data":[{"embedding":"AAAA"}]}'):
        assert dimensions.whole(asked("embeddings", {"input": "x", "dimensions": 1}), unread) == unread


@pytest.mark.parametrize(
    ("reason", "word", "told"),
    [
        ("end_turn", "port", "stop_sequence"),
        ("end_turn", None, "end_turn"),
        ("max_tokens", "port", "max_tokens"),
        ("stop_sequence", "port", "stop_sequence"),
    ],
)
def test_a_message_says_what_ended_it(reason: str, word: str | None, told: str) -> None:
    body = msgspec.json.encode({"type": "message", "stop_reason": reason, "stop_sequence": word})
    said = stops.whole(asked("messages", {"messages": []}), body)
    assert json.loads(said) == {"type": "message", "stop_reason": told, "stop_sequence": word}
    assert (said == body) == (told == reason)


def test_what_is_no_message_passes() -> None:
    assert stops.whole(asked("messages", {"messages": []}), b"[1]") == b"[1]"
