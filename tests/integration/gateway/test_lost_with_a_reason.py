"""Engines that end in the middle: whoever can still be told hears why, in the words of the API."""

from __future__ import annotations

import asyncio
import json

import pytest
from gateway_fakes import ANSWER, EngineSide, Gateway, Heard

from hostler.errors import EngineLost

pytestmark = pytest.mark.anyio

TALK = {"model": "tiny", "messages": [{"role": "user", "content": "The sea?"}], "max_tokens": 200}
CRASHED = "The engine of `tiny` crashed (ggml_abort)."


@pytest.fixture(autouse=True)
def crashing(gateway: Gateway) -> None:
    why = EngineLost(CRASHED, hint="Update the build.")
    why.cause, why.evidence = "crashed", "GGML_ASSERT(n > 0) failed"
    gateway.fleet.why = why


async def half_said(heard: Heard, side: EngineSide) -> None:
    await side.stream_head()
    await side.event(b'{"choices":[{"index":0,"delta":{"content":"The"}}]}')
    side.writer.close()


def told(error: dict[str, object], message: str) -> None:
    assert CRASHED in message
    assert "Update the build." in message + str(error.get("hint", ""))
    assert (error["code"], error["cause"], error["source"]) == ("engine_lost", "crashed", "engine")
    assert error["evidence"] == "GGML_ASSERT(n > 0) failed"


async def test_a_cut_stream_of_openai(gateway: Gateway) -> None:
    gateway.engine.script = half_said
    answer = await gateway.ask(TALK | {"stream": True})
    *_, last, done, _ = answer.body.split(b"\n\n")
    error = json.loads(last.removeprefix(b"data: "))["error"]
    told(error, error["message"])
    assert done == b"data: [DONE]"


async def test_a_cut_stream_of_anthropic(gateway: Gateway) -> None:
    gateway.engine.script = half_said
    answer = await gateway.ask(TALK | {"stream": True}, "/v1/messages")
    *_, last, _ = answer.body.split(b"\n\n")
    name, data = last.split(b"\n")
    error = json.loads(data.removeprefix(b"data: "))["error"]
    told(error, error["message"])
    assert (name, error["type"]) == (b"event: error", "api_error")


async def test_a_cut_stream_of_ollama(gateway: Gateway) -> None:
    gateway.engine.script = half_said
    answer = await gateway.ask(TALK | {"stream": True}, "/api/chat")
    first, last = map(json.loads, answer.body.splitlines())
    assert first["message"]["content"] == "The"
    told(last, last["error"])


async def test_a_whole_answer_of_ollama_of_which_nothing_was_told_yet(gateway: Gateway) -> None:
    async def half(heard: Heard, side: EngineSide) -> None:
        await side.say(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{")
        side.writer.close()

    gateway.engine.script = half
    answer = await gateway.ask(TALK | {"stream": False}, "/api/chat")
    assert answer.status == 502
    told(answer.json(), answer.json()["error"])


async def test_one_that_was_asked_again_in_vain_is_told_why(gateway: Gateway) -> None:
    async def die(heard: Heard, side: EngineSide) -> None:
        side.kill()

    gateway.engine.script = die
    answer = await gateway.ask(TALK)
    assert answer.status == 502
    told(answer.json()["error"], answer.json()["error"]["message"])


async def test_each_lease_may_meet_one_connection_that_the_engine_had_closed(gateway: Gateway) -> None:
    """An engine that comes anew closes idle connections as well, and that counts as no loss."""
    both = asyncio.Barrier(2)

    async def together(heard: Heard, side: EngineSide) -> None:
        await both.wait()
        await side.json(ANSWER)

    gateway.engine.script = together
    await asyncio.gather(gateway.ask(TALK), gateway.ask(TALK))
    idle, fresh = set(gateway.engine.open), 0

    async def once_dead(heard: Heard, side: EngineSide) -> None:
        nonlocal fresh
        if side in idle:
            side.writer.close()
            return
        fresh += 1
        await (side.json(ANSWER) if fresh > 1 else half_of_nothing(side))

    gateway.engine.script = once_dead
    assert (await gateway.ask(TALK)).json() == ANSWER
    assert len(gateway.fleet.leases) == 2 + 2


async def half_of_nothing(side: EngineSide) -> None:
    side.kill()
