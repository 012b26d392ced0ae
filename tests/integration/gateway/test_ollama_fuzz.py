"""Whatever is sent to Ollama's paths is answered in its form: never a 500, never a hang, never a line that is no JSON.

`make test` runs some two hundred cases; `HOSTLER_FUZZ_CASES=10000` as many, other ones each time.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from anyio.from_thread import start_blocking_portal
from gateway_fakes import EngineSide, Gateway, Heard, gateway_with
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hostler.accounts.keys import Keyring
from hostler.config.quantities import Bytes
from hostler.config.settings import LimitSettings

CASES = int(os.environ.get("HOSTLER_FUZZ_CASES", "0"))
LIMIT = 32 * 1024
PIXEL = "iVBORw0KGgoAAAANSUhEUg=="
CALL = {"id": "c", "function": {"name": "f", "arguments": {"a": 1}}}
OPTIONS = {"temperature": 0.5, "top_k": 20, "seed": 7, "stop": ["a"], "num_predict": 8, "num_ctx": 2048, "num_gpu": 1}
COMMON = {"stream": False, "format": "json", "keep_alive": "5m", "options": OPTIONS, "think": False, "logprobs": True}
CHAT = {
    **COMMON,
    "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "How deep?", "images": [PIXEL]},
        {"role": "assistant", "content": "", "thinking": "Hm.", "tool_calls": [CALL]},
        {"role": "tool", "content": "7", "tool_name": "f"},
    ],
    "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}],
}
PROMPT = {
    **COMMON, "prompt": "The sea", "suffix": "", "system": "Be brief.", "template": "{{ .Prompt }}", "raw": False,
    "images": [PIXEL], "context": [1, 2],
}  # fmt: skip
#: Bodies that are right, or nearly, and have most of what the API has.
BODIES: dict[str, dict[str, object]] = {
    "/api/chat": CHAT,
    "/api/generate": PROMPT,
    "/api/embed": {"input": ["a", "b"], "dimensions": 4, "truncate": True, "keep_alive": 0, "options": OPTIONS},
    "/api/embeddings": {"prompt": "a", "keep_alive": -1},
    "/api/show": {"name": "tiny", "verbose": True},
    "/api/pull": {"stream": True, "insecure": False},
    "/api/create": {"from": "tiny"},
}
FIELDS = sorted({field for body in BODIES.values() for field in body} | {"role", "content", "function", "ünknown"})

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.sampled_from(["5m", PIXEL]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=4),
    max_leaves=10,
)
numbers = st.sampled_from([b"1e999999", b"-" + b"9" * 400, b"NaN", b"01", b"1e300", b"-0.0", b"9007199254740993"])


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every place inside ``value``: what holds it, and its key."""
    inside = value.items() if isinstance(value, dict) else enumerate(value if isinstance(value, list) else ())
    for key, inner in inside:
        yield value, key
        yield from places(inner)


@st.composite
def mutated(draw: st.DrawFn, path: str) -> bytes:
    """A body with a few of its values other ones, or gone."""
    body = json.loads(json.dumps({"model": draw(st.sampled_from(["tiny", "vec", "base"])), **BODIES[path]}))
    for _ in range(draw(st.integers(0, 4))):
        if not (known := list(places(body))):
            break
        inside, key = draw(st.sampled_from(known))
        if draw(st.booleans()):
            inside[key] = draw(values)
        else:
            del inside[key]
    return json.dumps(body, ensure_ascii=draw(st.booleans())).encode("utf-8", "surrogatepass")


@st.composite
def spoilt(draw: st.DrawFn, path: str) -> bytes:
    """Cut off, with other bytes in it, a strange number, a field there twice, or nested deeply."""
    body = draw(mutated(path))
    at = draw(st.integers(0, len(body)))
    field = draw(st.sampled_from(FIELDS)).encode()
    count = draw(st.integers(1, 4000))
    return draw(
        st.sampled_from(
            [
                body[:at],
                body[:at] + draw(st.binary(max_size=6)) + body[at:],
                body[:-1] + b',"%b":%b}' % (field, draw(numbers)),
                body[:-1] + b',"%b":%b}' % (field, json.dumps(draw(values)).encode()),
                body[:-1] + b',"%b":%b}' % (field, b'{"a":' * count + b"1" + b"}" * count),
            ]
        )
    )


@st.composite
def requests(draw: st.DrawFn) -> tuple[str, bytes]:
    path = draw(st.sampled_from(sorted(BODIES)))
    return path, draw(mutated(path) | spoilt(path) | st.binary(max_size=60))


async def speak(heard: Heard, side: EngineSide) -> None:
    """An engine that answers whatever it is asked."""
    asked = json.loads(heard.body)
    timings = {"prompt_n": 3, "prompt_ms": 1.0, "predicted_n": 2, "predicted_ms": 1.0}
    if b"/v1/embeddings" in heard.line:
        await side.json({"data": [{"embedding": [0.6, 0.8, 0.1, 0.2, 0.3]}], "usage": {"prompt_tokens": 3}})
    elif asked.get("stream") is True:
        await side.stream_head()
        await side.event(b'{"choices":[{"delta":{"content":"The sea."},"text":"The sea.","finish_reason":"stop"}]}')
        await side.event(json.dumps({"choices": [], "timings": timings}).encode())
        await side.stream_end()
    else:
        message = {"role": "assistant", "content": "The sea."}
        await side.json({"choices": [{"message": message, "text": "The sea."}], "timings": timings})


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway in a thread of its own."""
    keys = Keyring(Path(tmp_path_factory.mktemp("ollama_fuzz")) / "keys.json")
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(gateway_with(keys, LimitSettings(body=Bytes(LIMIT)))) as gateway,
    ):
        gateway.engine.script = speak
        yield gateway


@settings(
    max_examples=CASES or 200,
    derandomize=not CASES,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(requests())
def test_every_answer_has_ollamas_form(door: Gateway, request_: tuple[str, bytes]) -> None:
    path, body = request_
    host, port = door.listener.getsockname()
    connection = HTTPConnection(host, port, timeout=10)
    try:
        connection.request("POST", path, body)
        answer = connection.getresponse()
        said = answer.read()
    finally:
        connection.close()
    assert answer.status < 500, said
    if answer.status != 200:
        assert isinstance(json.loads(said)["error"], str)
        return
    told = [json.loads(line) for line in said.splitlines()]
    assert told
    assert answer.headers["content-type"].startswith("application/")
