"""Whatever comes to the front door is answered in the words of its API family: never a 500, never a hang.

`make test` runs a few hundred cases. For more of them, other ones each time: `make fuzz CASES=10000`.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from anyio.from_thread import start_blocking_portal
from gateway_fakes import Gateway, gateway_with
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hostler.accounts.keys import Keyring
from hostler.config.quantities import Bytes
from hostler.config.settings import LimitSettings

CASES = int(os.environ.get("HOSTLER_FUZZ_CASES", "0"))
LIMIT = 32 * 1024
PATIENCE_S = 10.0
PATHS = {
    "/v1/chat/completions": "openai", "/v1/completions": "openai", "/v1/responses": "openai",
    "/v1/responses/input_tokens": "openai", "/v1/embeddings": "openai", "/v1/messages": "anthropic",
    "/v1/messages/count_tokens": "anthropic",
}  # fmt: skip
#: A body for each path that is right, and has most of what the API has.
RIGHT = Path(__file__).parents[2] / "data" / "front_door_bodies.json"
FIELDS = [
    "model", "messages", "stream", "max_tokens", "temperature", "tools", "tool_choice", "stop", "n", "seed", "input",
    "prompt", "system", "thinking", "response_format", "stream_options", "metadata", "top_p", "logit_bias", "ünknown",
]  # fmt: skip

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.just("tiny"),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
objects = st.dictionaries(st.sampled_from(FIELDS) | st.text(max_size=10), values, max_size=8)
encoded = objects.map(lambda value: json.dumps(value).encode())
named = encoded.map(lambda body: b'{"model":"tiny",' + body[1:] if len(body) > 2 else b'{"model":"tiny"}')


@st.composite
def deep(draw: st.DrawFn) -> bytes:
    count = draw(st.integers(1, 8000))
    opened, closed = draw(st.sampled_from([(b"[", b"]"), (b'{"a":', b"}")]))
    return b'{"model":"tiny","x":' + (opened * count + b"1" + closed * count)[: LIMIT - 100] + b"}"


@st.composite
def spoilt(draw: st.DrawFn) -> bytes:
    """A body that was right, cut off or with other bytes in it."""
    body = draw(named)
    at = draw(st.integers(0, len(body)))
    return (
        body[:at] + draw(st.binary(max_size=6)) + body[at + draw(st.integers(0, 4)) :]
        if draw(st.booleans())
        else body[:at]
    )


@st.composite
def mutated(draw: st.DrawFn, path: str) -> bytes:
    """A body that was right, with a few of its values other ones, gone, or there twice."""
    body = json.loads(RIGHT.read_bytes())[path]
    for _ in range(draw(st.integers(0, 3))):
        inside, key = draw(st.sampled_from(list(places(body))))
        match draw(st.sampled_from(["other", "listed", "gone"])):
            case "other":
                inside[key] = draw(values)
            case "listed":
                inside[key] = [inside[key], inside[key]]
            case _:
                del inside[key]
    return json.dumps(body, ensure_ascii=draw(st.booleans())).encode("utf-8", "surrogatepass")


def places(value: dict[str, object]) -> Iterator[tuple[dict[str, object], str]]:
    """Every object inside ``value``, with each of its keys."""
    for key, inner in value.items():
        yield value, key
        for one in inner if isinstance(inner, list) else [inner]:
            if isinstance(one, dict):
                yield from places(one)


numbers = st.sampled_from([b"1e999999", b"-" + b"9" * 400, b"0." + b"1" * 3000, b"NaN", b"Infinity", b"01", b"0x1"])
bodies = st.one_of(
    encoded,
    named,
    values.map(lambda value: json.dumps(value).encode()),
    deep(),
    spoilt(),
    st.tuples(st.sampled_from(FIELDS), numbers).map(
        lambda pair: b'{"model":"tiny","%b":%b}' % (pair[0].encode(), pair[1])
    ),
    st.tuples(named, st.sampled_from(FIELDS), values).map(
        lambda parts: parts[0][:-1] + b',"%b":%b}' % (parts[1].encode(), json.dumps(parts[2]).encode())
    ),
    st.binary(max_size=200),
    st.integers(LIMIT - 2, LIMIT + 2).map(lambda size: b'{"model":"tiny","x":"' + b"x" * (size - 23) + b'"}'),
)
kinds = st.sampled_from(
    ["application/json", "", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x",
     "application/json; charset=utf-16", "\x80\xff", "a" * 500]
)  # fmt: skip


@st.composite
def requests(draw: st.DrawFn) -> tuple[str, bytes, bool]:
    """The family, what is sent, and whether its end is plain to see."""
    path = draw(st.sampled_from(sorted(PATHS)))
    body = draw(mutated(path) | bodies)
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: {draw(kinds)}\r\n".encode("latin-1")
    framing = draw(
        st.sampled_from(
            [
                "length",
                "length",
                "length",
                "pipelined",
                "chunked",
                "short",
                "long",
                "twice",
                "nonsense",
                "broken",
                "cut",
            ]
        )
    )
    if framing == "chunked":
        cuts = sorted(draw(st.lists(st.integers(0, len(body)), max_size=5)))
        pieces = [body[a:b] for a, b in zip([0, *cuts], [*cuts, len(body)], strict=True) if a < b]
        chunks = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
        return PATHS[path], head + b"Transfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n", True
    if framing == "broken":
        return PATHS[path], head + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n" + body, False
    if framing == "cut":
        return PATHS[path], head + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b" % (len(body) + 1, body), False
    if framing == "nonsense":
        return (
            PATHS[path],
            head + b"Content-Length: " + draw(st.sampled_from([b"-1", b"x", b"9" * 30])) + b"\r\n\r\n" + body,
            False,
        )
    length = len(body) + {"short": -1, "long": 1}.get(framing, 0)
    whole = head + b"Content-Length: %d\r\n\r\n" % max(0, length) + body
    if framing == "twice":
        whole = head + b"Content-Length: %d\r\nContent-Length: %d\r\n\r\n" % (len(body), len(body) + 1) + body
    if framing == "pipelined":
        return PATHS[path], whole + whole, False
    return PATHS[path], whole, framing == "length"


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway in a thread of its own."""
    keys = Keyring(Path(tmp_path_factory.mktemp("fuzz")) / "keys.json")
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(gateway_with(keys, LimitSettings(body=Bytes(LIMIT)))) as gateway,
    ):
        yield gateway


def answer_to(gateway: Gateway, sent: bytes) -> bytes:
    """Everything that comes back until the gateway closes; it is told that nothing more will come."""
    with socket.create_connection(gateway.listener.getsockname()[:2], timeout=PATIENCE_S) as client:
        client.sendall(sent)
        got = b""
        while b"\r\n\r\n" not in got or len(got.partition(b"\r\n\r\n")[2]) < _length(got):
            piece = client.recv(65536)
            if not piece:
                break
            got += piece
        return got


def _length(got: bytes) -> int:
    head, _, rest = got.partition(b"\r\n\r\n")
    lines = head.lower().split(b"\r\n")
    if b"transfer-encoding: chunked" in lines:
        end = rest.find(b"\r\n0\r\n\r\n")
        return end + 7 if end >= 0 else len(rest) + 1
    return next((int(line[15:]) for line in lines if line.startswith(b"content-length:")), 0)


def judge(family: str, got: bytes) -> None:
    """One answer, or several: what follows a body that is longer than it said is another request."""
    head, _, rest = got.partition(b"\r\n\r\n")
    body, more = rest[: _length(got)], rest[_length(got) :]
    if more:
        judge(family, more)
    status = int(head.split(b" ", 2)[1])
    assert status == 200 or 400 <= status < 500, got
    if status == 200:
        return
    told = msgspec.json.decode(body)
    assert isinstance(told["error"]["message"], str)
    assert isinstance(told["error"]["type"], str)
    assert told["error"]["code"]
    assert told["error"]["source"] == "gateway"
    if family == "anthropic":
        assert told["type"] == "error"


@settings(
    max_examples=CASES or 300,
    deadline=None,
    database=None,
    derandomize=not CASES,
    suppress_health_check=list(HealthCheck),
)
@given(asked=requests())
def test_every_answer_is_one_of_its_family(door: Gateway, asked: tuple[str, bytes, bool]) -> None:
    family, sent, whole = asked
    if not whole:
        # Its end is not plain: closing our side says that nothing more comes, and then no answer is owed.
        with socket.create_connection(door.listener.getsockname()[:2], timeout=PATIENCE_S) as client:
            client.sendall(sent)
            client.shutdown(socket.SHUT_WR)
            got = b""
            try:
                while piece := client.recv(65536):
                    got += piece
            except ConnectionResetError:
                return
        if got:
            judge(family, got)
        return
    judge(family, answer_to(door, sent))
