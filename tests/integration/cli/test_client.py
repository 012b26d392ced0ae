"""The client itself, where the commands do not show what it does."""

from __future__ import annotations

from contextlib import aclosing

import pytest
from fake_gateway import EVENTS, FakeGateway

from hostler.client.answers import Question, Turn
from hostler.client.gateway import Client
from hostler.errors import NoGateway
from hostler.events import AnyEvent

pytestmark = pytest.mark.anyio


async def take(client: Client, count: int, after: int | None) -> list[AnyEvent]:
    events: list[AnyEvent] = []
    async with aclosing(client.events(after)) as arriving:
        async for event in arriving:
            events.append(event)
            if len(events) == count:
                break
    return events


async def test_events_come_typed(gateway: FakeGateway) -> None:
    async with Client(gateway.url) as client:
        assert await take(client, 3, 0) == list(EVENTS)
        assert await take(client, 1, 2) == [EVENTS[2]]


async def test_a_lost_event_stream_is_taken_up_where_it_broke(gateway: FakeGateway) -> None:
    gateway.events_per_connection = 1
    async with Client(gateway.url) as client:
        assert await take(client, 3, 0) == list(EVENTS)
    assert gateway.last_event_ids == ["0", "1", "2"]


async def test_events_of_no_gateway_end_with_the_reason(free_port: int) -> None:
    async with Client(f"http://127.0.0.1:{free_port}") as client:
        with pytest.raises(NoGateway):
            await take(client, 1, None)


async def test_waiting_text_usage_and_end_of_an_answer(gateway: FakeGateway) -> None:
    question = Question(profile="smollm2", turns=(Turn("user", "x"),))
    async with Client(gateway.url) as client, aclosing(client.ask(question)) as arriving:
        deltas = [delta async for delta in arriving]
    assert deltas[0].waiting == "loading smollm2, 40%"
    assert "".join(delta.text for delta in deltas) == "The sea is wide."
    assert deltas[-1].finish == "stop"
    usage = deltas[-1].usage
    assert usage is not None
    assert (usage.tokens_in, usage.tokens_out, usage.tokens_per_s) == (12, 3, 85.4)


async def test_hanging_up_reaches_the_gateway(gateway: FakeGateway) -> None:
    gateway.endless = True
    question = Question(profile="smollm2", turns=(Turn("user", "x"),))
    async with Client(gateway.url) as client, aclosing(client.ask(question)) as arriving:
        async for delta in arriving:
            if delta.text:
                break
    assert gateway.hung_up.wait(10)


async def test_state_and_readiness(gateway: FakeGateway) -> None:
    async with Client(gateway.url) as client:
        assert (await client.status()).pid == 4711
        assert await client.healthy()
        assert (await client.ready()).profiles == {"smollm2": "ready"}
        assert (await client.config())[0].key == "gateway.port"
