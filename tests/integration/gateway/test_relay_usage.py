"""A program's stream through the relay: the ledger knows what it took, the client gets what it asked for."""

from __future__ import annotations

import json

import msgspec
import pytest
from gateway_fakes import EngineSide, Gateway, Heard

pytestmark = pytest.mark.anyio

STREAM = {"model": "tiny", "messages": [], "stream": True}
USAGE = {"choices": [], "usage": {"prompt_tokens": 12, "completion_tokens": 3}}


async def program(heard: Heard, side: EngineSide) -> None:
    """Tells usage in a stream when asked, as OpenAI's API has it."""
    await side.stream_head()
    await side.event(b'{"choices":[{"delta":{"content":"sea"}}]}')
    if json.loads(heard.body).get("stream_options", {}).get("include_usage"):
        await side.event(json.dumps(USAGE).encode())
    await side.stream_end()


@pytest.fixture
def of_a_program(gateway: Gateway) -> Gateway:
    tiny = gateway.catalogue.served["tiny"]
    gateway.catalogue.served["tiny"] = msgspec.structs.replace(tiny, counts=False)
    gateway.engine.script = program
    return gateway


async def test_the_ledger_counts_and_the_client_gets_no_usage_it_did_not_ask_for(of_a_program: Gateway) -> None:
    answer = await of_a_program.ask(STREAM)
    assert answer.complete
    assert answer.body == b'data: {"choices":[{"delta":{"content":"sea"}}]}\n\ndata: [DONE]\n\n'
    assert (of_a_program.row.tokens_in, of_a_program.row.tokens_out) == (12, 3)
    assert of_a_program.row.generated_ms is not None


@pytest.mark.parametrize("whole", [True, False])
async def test_a_stream_that_told_its_length_ends_where_it_does_here(of_a_program: Gateway, whole: bool) -> None:
    """Events are left out of it, or an error is put behind: its length would leave clients waiting."""
    said = b'data: {"choices":[{"delta":{"content":"sea"}}]}\n\n'
    events = said + b"data: " + json.dumps(USAGE).encode() + b"\n\ndata: [DONE]\n\n"

    async def measured(heard: Heard, side: EngineSide) -> None:
        head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: %d\r\n\r\n" % len(events)
        await side.say(head + (events if whole else said))
        side.writer.close()

    of_a_program.engine.script = measured
    answer = await of_a_program.ask(STREAM)
    assert answer.complete
    assert answer.body.startswith(said)
    assert answer.body.endswith(b"data: [DONE]\n\n")
    assert (b"engine_lost" in answer.body) is not whole
    assert b"prompt_tokens" not in answer.body


async def test_who_asks_for_usage_gets_it(of_a_program: Gateway) -> None:
    answer = await of_a_program.ask(STREAM | {"stream_options": {"include_usage": True}})
    assert b'"completion_tokens": 3' in answer.body
    assert of_a_program.row.tokens_out == 3


async def test_an_error_comes_whole(of_a_program: Gateway) -> None:
    async def refuse(heard: Heard, side: EngineSide) -> None:
        await side.json({"error": {"message": "no such option"}}, "400 Bad Request")

    of_a_program.engine.script = refuse
    answer = await of_a_program.ask(STREAM)
    assert (answer.status, answer.json()) == (400, {"error": {"message": "no such option"}})


async def test_a_program_that_dies_in_an_event_ends_the_stream_with_an_error(of_a_program: Gateway) -> None:
    async def die(heard: Heard, side: EngineSide) -> None:
        await side.stream_head()
        await side.event(b"1")
        await side.say(b"ff\r\ndata: half of")
        side.writer.close()

    of_a_program.engine.script = die
    answer = await of_a_program.ask(STREAM)
    assert answer.complete
    assert answer.body.startswith(b"data: 1\n\n")
    assert b"half of" not in answer.body
    assert b'"engine_lost"' in answer.body
