"""Whether an engine needs a repair, by what it answers when it is asked; and that a sound one gets none."""

from __future__ import annotations

import json
from typing import get_args

import msgspec
import pytest

from hostler.config.sampling import SamplingSettings
from hostler.fleet.learning.defects import Defect, Judge
from hostler.fleet.protocol import Served
from hostler.gateway.answering.repairs import dimensions, responses, stops
from hostler.gateway.answering.repairs.blame import blames_rightly, in_its_envelope
from hostler.gateway.answering.repairs.events import Events, is_reckoned
from hostler.gateway.answering.repairs.heard import RARE
from hostler.gateway.answering.repairs.known import compiled, probes_of, repairs_of
from hostler.gateway.answering.repairs.responses import is_whole
from hostler.gateway.answering.repairs.starts import MessageStart, RoleFirst, keeps_role, keeps_start
from hostler.gateway.asking.checks.reading import read
from hostler.gateway.asking.fields import Fields
from hostler.gateway.asking.llamacpp import formats
from hostler.gateway.routes import INFERENCE
from hostler.testing.specs import SPEC

ALL = frozenset[Defect](get_args(Defect))
NONE: frozenset[Defect] = frozenset()
TINY = Served(name="tiny", task="chat", embeddings=True, sampling=SamplingSettings(), context=4096)
SOUND = msgspec.structs.replace(TINY, sound=ALL)


def chunk(**delta: object) -> bytes:
    return b"data: " + json.dumps({"choices": [{"index": 0, "delta": delta}]}).encode() + b"\n\n"


def event(name: str, **data: object) -> bytes:
    return f"event: {name}\ndata: {json.dumps({'type': name, **data})}\n\n".encode()


def text(said: str) -> bytes:
    return event("content_block_delta", index=0, delta={"type": "text_delta", "text": said})


ROLE, DONE = chunk(role="assistant", content=None), b"data: [DONE]\n\n"
START = event("message_start", message={"id": "m"}) + event("content_block_start", index=0)
FIELDS: dict[str, object] = {
    **dict.fromkeys(("error", "instructions", "previous_response_id", "temperature", "top_p")),
    "metadata": {}, "output": [], "parallel_tool_calls": True, "store": False, "text": {"format": {"type": "text"}},
    "tool_choice": "auto", "tools": [], "truncation": "disabled", "id": "r", "object": "response", "created_at": 1,
    "model": "tiny", "status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"},
}  # fmt: skip
USAGE = {"input_tokens": 1, "output_tokens": 1, "output_tokens_details": {"reasoning_tokens": 0}}


def stream(*, numbers: bool = True, places: bool = True) -> bytes:
    where = {"output_index": 0, "content_index": 0} if places else {}
    told: list[tuple[str, dict[str, object]]] = [
        ("response.created", {"response": FIELDS}),
        ("response.output_text.delta", {**where, "delta": "A"}),
        ("response.incomplete", {"response": FIELDS}),
    ]
    return b"".join(
        event(name, **({"sequence_number": at} if numbers else {}), **data) for at, (name, data) in enumerate(told)
    )


def body(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def output(said: str) -> bytes:
    return body({"output": [{"type": "message", "content": [{"type": "output_text", "text": said}]}]})


FAULT = {"error": {"code": 400, "message": "No role.", "type": "invalid_request_error"}}


@pytest.mark.parametrize(
    ("judge", "status", "said", "sound"),
    [
        (keeps_role, 200, b":\n\n" + ROLE + chunk(content=RARE) + DONE, True),
        (keeps_role, 200, chunk(content=RARE) + DONE, False),
        (keeps_role, 200, ROLE + chunk(content="Hello") + DONE, None),  # it did not do as it was told
        (keeps_start, 200, START + text(RARE[:1]) + text("x"), True),
        (keeps_start, 200, event("content_block_start", index=0) + text(RARE), False),
        (keeps_start, 200, START + text("Hello"), None),
        (keeps_start, 200, event("error", error={}), None),
        (is_reckoned, 200, stream(), True),
        (is_reckoned, 200, stream(numbers=False), False),
        (is_reckoned, 200, stream(places=False), False),
        (is_whole, 200, body(FIELDS | {"usage": USAGE}), True),
        (is_whole, 200, body({"id": "r", "output": [], "usage": {"output_tokens": 1}}), False),
        (is_whole, 200, body(FIELDS | {"usage": USAGE, "status": "completed"}), False),
        (formats.keeps_format, 200, output('"hostler"'), True),
        (formats.keeps_format, 200, output("Hello"), False),
        (dimensions.is_cut, 200, body({"data": [{"embedding": [0.6, 0.8]}]}), True),
        (dimensions.is_cut, 200, body({"data": [{"embedding": [0.5] * 4}]}), False),
        (blames_rightly, 400, body(FAULT), True),
        (blames_rightly, 500, body(FAULT), False),
        (blames_rightly, 400, b"no", False),
        (blames_rightly, 200, b"{}", None),
        (in_its_envelope, 400, body({"type": "error"} | FAULT), True),
        (in_its_envelope, 400, body(FAULT), False),
        (in_its_envelope, 500, body({"type": "error"} | FAULT), False),
    ],
)
def test_answers_are_judged(judge: Judge, status: int, said: bytes, sound: bool | None) -> None:
    assert judge(status, said) is sound


@pytest.mark.parametrize(
    "judge", [keeps_role, keeps_start, is_reckoned, is_whole, formats.keeps_format, dimensions.is_cut]
)
@pytest.mark.parametrize(
    "said", [b"", b"{}x", b"[]", b"\xff", b'data: {"choices":5}\n\n', b"event: message_start\ndata: {\n\n"]
)
def test_what_cannot_be_read_is_not_judged(judge: Judge, said: bytes) -> None:
    assert judge(200, said) in (None, False)
    assert judge(500, said) is None


@pytest.mark.parametrize("route", INFERENCE.values(), ids=lambda route: route.target.decode())
def test_an_engine_that_is_sound_gets_no_repair(route) -> None:
    raw = b'{"input":"x","dimensions":4}' if route.api == "embeddings" else b"{}"
    asked = read(route.api, raw)
    assert repairs_of(SOUND, route, asked) is None
    assert repairs_of(TINY, route, asked) is not None
    assert repairs_of(msgspec.structs.replace(TINY, counts=False), route, asked) is None


def test_each_repair_is_for_its_defect_alone() -> None:
    found = {
        defect: compiled(api, anthropic, ALL - {defect})
        for defect, api, anthropic in (
            ("lost_role", "chat", False),
            ("lost_message_start", "messages", True),
            ("misnamed_stop", "stops", True),
            ("unnumbered_events", "responses", False),
            ("bare_responses", "responses", False),
            ("ignored_dimensions", "dimensions", False),
            ("misplaced_blame", "completions", False),
            ("misplaced_blame_of_vectors", "rerank", False),
            ("foreign_errors", "count_tokens", True),
        )
    }
    told = {defect: (one.stream, one.whole, one.errors) for defect, one in found.items() if one is not None}
    assert told == {
        "lost_role": (RoleFirst, None, False),
        "lost_message_start": (MessageStart, None, False),
        "misnamed_stop": (stops.Stops, stops.whole, False),
        "unnumbered_events": (Events, None, False),
        "bare_responses": (None, responses.whole, False),
        "ignored_dimensions": (None, dimensions.whole, False),
        "misplaced_blame": (None, None, True),
        "misplaced_blame_of_vectors": (None, None, True),
        "foreign_errors": (None, None, True),
    }
    assert compiled("chat", False, NONE) is compiled("chat", False, frozenset())


def test_an_engine_that_knows_the_format_is_told_it_as_the_client_did() -> None:
    raw = b'{"input":"x","instructions":null,"text":{"format":{"type":"json_object"}}}'
    route = INFERENCE[b"/v1/responses"]
    for served, as_chat in ((TINY, True), (SOUND, False)):
        edit = formats.edit_of(served, route)
        assert edit is not None
        fields = Fields(raw, read("responses", raw))
        edit(fields)
        told = json.loads(fields.bytes())
        assert ("response_format" in told, "instructions" in told) == (as_chat, False)


def test_every_defect_is_asked_for() -> None:
    both = probes_of(msgspec.structs.replace(SPEC, embeddings=True))
    assert {probe.defect for probe in both} == ALL
    assert {probe.defect for probe in probes_of(msgspec.structs.replace(SPEC, task="rerank"))} == set()
    assert [probe.computes for probe in both] == sorted(probe.computes for probe in both)
