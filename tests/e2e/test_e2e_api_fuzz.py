"""The management API of a running gateway against its own document, and against what no document allows.

``HOSTLER_FUZZ_CASES=200`` asks so much more, other things each time (`make fuzz-api`).
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from gateway_process import RunningGateway
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pytestmark = pytest.mark.anyio

FOLDER = Path(__file__).parent
SCHEMATHESIS = Path(sys.executable).with_name("st")
CASES = os.environ.get("HOSTLER_FUZZ_CASES")
#: What loads many times.
SLOW = ("/api/models/mmap/benchmark", "/api/models/warmup/{name}", "/api/models/warmup/{name}/benchmark")
#: Streams never end.
LEFT_OUT = ("/api/events", *(() if CASES else SLOW))
PATIENCE_S = 30.0


@pytest.fixture
def running(gateway, place) -> RunningGateway:
    return gateway(place.fake("coder"), place.fake("other", 'aliases = ["o"]'), place.fake("own-Tiny:Q4"))


def test_answers_are_what_the_document_says(running: RunningGateway, tmp_path: Path) -> None:
    """Every operation: what is right, what is wrong in one thing, at random, and what follows from answers."""
    amount = ["--max-examples", CASES] if CASES else ["--max-examples", "3", "--generation-deterministic"]
    left_out = [word for path in LEFT_OUT for word in ("--exclude-path", path)]
    done = subprocess.run(
        [SCHEMATHESIS, "--config-file", FOLDER / "api_fuzz.toml", "run", f"{running.url}/api/schema", *left_out,
         *amount, "--request-timeout", "60", "--continue-on-failure", "--no-color"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert ".bug" not in running.logged()


async def exchange(running: RunningGateway, sent: bytes) -> bytes:
    """Whatever is answered before the connection ends."""
    reader, writer = await asyncio.open_connection(*running.address)
    try:
        writer.write(sent)
        if b"chunked" in sent:
            writer.write_eof()  # what is no chunk might be the beginning of one
        async with asyncio.timeout(PATIENCE_S):
            return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.transport.abort()


ODD = (
    b"\0", b"%00", b"\xff\xfe", b"%ff%fe%c0%80", b"..%2f..%2fetc", b"1e999", b"-1", b"9" * 5000, b"%", b"&&==",
    b"\xed\xa0\x80",
)  # fmt: skip
BODIES = (
    b"[" * 60_000, b'{"a":' * 9_000, b'{"profile": "' + b"x" * 60_000 + b'"}', b'{"profile": "\xff"}',
    b'{"profile": "\\ud800"}', b'{"profile": "coder", "hold": 1e99999}',
    b'{"profile": "coder", "hold": ' + b"9" * 5000 + b"}", b'{"profile": "coder", "profile": "other"}',
    b'{"now": true} trailing', b"\xef\xbb\xbf{}", b"null", b"NaN", b"",
)  # fmt: skip
PATHS = (
    b"/api/profiles/", b"/api/profiles/coder/unload", b"/api/load", b"/api/load/", b"/api/keys", b"/api/requests",
    b"/api/requests/", b"/api/usage", b"/api/logs", b"/api/instances/", b"/api/models/cache/clear",
    b"/api/hardware/gpu/metrics", b"/api/", b"/api/docs/", b"/api/schema", b"/api/audit", b"/api/gateway/reload",
)  # fmt: skip
QUERIES = (b"", b"?", b"?limit=", b"?profile=", b"?since=", b"?until=", b"?lines=", b"?device=", b"?seconds=")
LINES = (
    b"", b"Content-Type: \xff\xfe\r\n", b"Content-Type: text/plain\r\n", b"Content-Encoding: br\r\n",
    b"Accept: \0\r\n", b"Transfer-Encoding: chunked\r\n", b"Authorization: Bearer \xff\r\n", b"Origin: \xff\r\n",
    b"Expect: 100-continue\r\n",
)  # fmt: skip
METHODS = (b"GET", b"POST", b"DELETE", b"HEAD", b"PUT", b"OPTIONS")
cases = st.tuples(
    st.sampled_from(METHODS), st.sampled_from(PATHS), st.sampled_from(QUERIES),
    st.just(b"") | st.sampled_from(ODD) | st.binary(max_size=60), st.sampled_from(LINES),
    st.integers(0, len(BODIES) - 1) | st.binary(max_size=200),
)  # fmt: skip


async def test_whatever_comes_is_answered_in_our_words(running: RunningGateway) -> None:
    """No request is answered with 500, with another's words or not at all, and none is the gateway's last."""
    statuses: dict[int, int] = {}

    async def ask(method: bytes, path: bytes, query: bytes, value: bytes, header: bytes, body: bytes) -> None:
        length = b"" if b"chunked" in header else b"Content-Length: %d\r\n" % len(body)
        target = path + value if path.endswith(b"/") else path + query + value
        head = b"%b %b HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n%b%b\r\n" % (method, target, header, length)
        answer = await exchange(running, head + body)
        if answer.startswith(b"HTTP/1.1 100"):
            answer = answer.partition(b"\r\n\r\n")[2]
        if not answer:
            return  # the connection was closed on what is no HTTP
        top, _, said = answer.partition(b"\r\n\r\n")
        status = int(top.split(b" ")[1])
        statuses[status] = statuses.get(status, 0) + 1
        assert status < 500, (head, body[:100], answer)
        if status >= 400 and method != b"HEAD":
            error = json.loads(said)["error"]
            assert error["message"], answer
            assert error["code"], answer

    @settings(
        max_examples=int(CASES) * 20 if CASES else 250, deadline=None, database=None, derandomize=not CASES,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(case=cases)
    def fuzz(case: tuple[bytes, bytes, bytes, bytes, bytes, int | bytes]) -> None:
        *others, body = case
        asyncio.run(ask(*others, BODIES[body] if isinstance(body, int) else body))  # too long to be shown

    await asyncio.to_thread(fuzz)
    assert statuses.keys() >= {200, 400, 404, 405}
    assert (await running.get("/health")).status == 200
    assert ".bug" not in running.logged()
