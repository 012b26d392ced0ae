"""Where `hostler up` writes to is not what it lives by."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess

import pytest
from gateway_process import HOSTLER, PATIENCE_S, Home, chat_body, eventually, processes_of

from hostler.testing import http

pytestmark = pytest.mark.anyio


def port_of(place: Home) -> int:
    """The gateway's port, 0 until it has told it."""
    try:
        url = json.loads((place.state / "gateway.json").read_bytes())["url"]
        return int(url.rpartition(":")[2] or 0)
    except OSError:
        return 0


def up(place: Home, output: int) -> subprocess.Popen[bytes]:
    """`hostler up`, writing to a descriptor."""
    words, nothing = [str(HOSTLER), "up"], subprocess.DEVNULL
    return subprocess.Popen(words, env=place.environment(), stdin=nothing, stdout=output, stderr=output)


async def test_a_terminal_that_goes_away_costs_its_words_only(place: Home) -> None:
    """`hostler up | head -1` ended the gateway: the greeting met a broken pipe."""
    place.write(place.fake("coder"))
    reading, writing = os.pipe()
    os.close(reading)
    process = up(place, writing)
    os.close(writing)
    try:
        port = await eventually(lambda: port_of(place), "it says where it serves")
        answer = await http.request(("127.0.0.1", port), "POST", "/v1/chat/completions", chat_body("coder"))
        assert answer.status == 200
        process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(process.wait, PATIENCE_S) == 0
    finally:
        process.kill()
        process.wait()
    assert processes_of(place.base) == {}
