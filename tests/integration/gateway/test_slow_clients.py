"""Clients that send slowly, or connect and say nothing, hold nothing for long, and others go on meanwhile."""

from __future__ import annotations

from collections.abc import AsyncIterator

import anyio
import pytest
from gateway_fakes import Answer, Client, EngineSide, Gateway, Heard, gateway_with

from hostler.accounts.keys import Keyring
from hostler.gateway.door.downstream import ClientLimits

pytestmark = pytest.mark.anyio

CHAT = {"model": "tiny", "messages": []}
HEAD = b"POST /v1/messages HTTP/1.1\r\nHost: x\r\n"


@pytest.fixture
async def gateway(keys: Keyring) -> AsyncIterator[Gateway]:
    """A gateway without patience."""
    bounds = ClientLimits(head_s=0.3, body_idle_s=0.3, body_rate=1e6, linger_s=0.2, idle_s=0.3)
    async with gateway_with(keys, clients=bounds) as one:
        yield one


async def dribble(client: Client, piece: bytes) -> None:
    """A little every now and then."""
    while True:
        client.writer.write(piece)
        await anyio.sleep(0.02)


async def told(client: Client, sent: bytes, piece: bytes, answers: list[Answer]) -> None:
    """What a client hears that sends ``sent`` and then dribbles on until it is answered."""
    client.writer.write(sent)
    async with anyio.create_task_group() as group:
        group.start_soon(dribble, client, piece)
        answers.append(await client.answer())
        group.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("sent", "piece"),
    [
        (b"", b""),
        (HEAD, b"X"),
        (HEAD, b"X-More: 1\r\n"),
        (HEAD + b"Content-Length: 100000\r\n\r\n{", b""),
        (HEAD + b"Content-Length: 100000\r\n\r\n{", b" "),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
    ],
)
async def test_what_dribbles_in_is_given_up_and_others_go_on(gateway: Gateway, sent: bytes, piece: bytes) -> None:
    slow = [await gateway.client() for _ in range(20)]
    answers: list[Answer] = []
    async with anyio.create_task_group() as group:
        for client in slow:
            group.start_soon(told, client, sent, piece, answers)
        assert (await gateway.ask(CHAT)).status == 200
    assert {(answer.status, answer.json()["error"]["code"]) for answer in answers} == {(408, "request_timeout")}
    assert {answer.json()["type"] for answer in answers} == {"error"}
    assert len(gateway.engine.heard) == 1
    assert (await gateway.ask(CHAT)).status == 200


async def test_a_connection_that_nobody_uses_is_closed_but_none_that_is_answered(gateway: Gateway) -> None:
    closed = anyio.Event()

    async def thinks(_: Heard, side: EngineSide) -> None:
        await closed.wait()
        await side.json({"choices": []})

    idle, busy = await gateway.client(), await gateway.client()
    assert (await idle.ask(CHAT)).status == 200
    assert (await busy.ask(CHAT)).status == 200
    gateway.engine.script = thinks
    busy.send("POST", "/v1/chat/completions", b'{"model": "tiny", "messages": []}')
    with anyio.fail_after(5):
        assert await idle.reader.read() == b""
    closed.set()
    assert (await busy.answer()).status == 200
    with anyio.fail_after(5):
        assert await busy.reader.read() == b""
