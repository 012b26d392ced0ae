"""Ctrl-C and SIGTERM: what runs is finished, what comes is refused, nothing stays."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import pytest
from gateway_process import chat_body, decode_event, engine_process, runs
from websockets.asyncio.client import connect

from hostler.events import GatewayDraining, InstanceChanged, LeaseEnded, LeaseGranted
from hostler.testing import http

pytestmark = pytest.mark.anyio


async def test_sigterm_lets_requests_finish_and_refuses_new_ones(gateway, place) -> None:
    running = gateway(place.fake("coder", rate=40, tokens=60))
    body = chat_body("coder")
    async with (
        running.events() as events,
        connect(running.url.replace("http", "ws") + "/api/events?after=0") as socket,
        running.streaming("coder") as stream,
        http.connected(running.address) as late,
    ):
        whole = asyncio.create_task(running.chat("coder"))
        await events.until(LeaseGranted)
        running.signal(signal.SIGTERM)
        draining = await events.until(GatewayDraining)
        assert draining.leases == 1

        refused = await running.chat("coder")
        assert refused.status == 503
        assert "retry-after" in refused.headers
        assert (await running.get("/ready")).status == 503
        assert (await running.get("/health")).status == 200
        late.writer.write(http.encode("POST", "/v1/chat/completions", running.address, body, None))
        assert (await late.read_head()).status == 503

        answer = await stream.read()
        assert answer.complete
        assert answer.events()[-1].data == "[DONE]"
        assert not any('"error"' in event.data for event in answer.events())
        queued = await whole
        assert queued.status == 503  # it waited for the one slot
        assert "retry-after" in queued.headers

        await events.until(LeaseEnded)
        async for _ in events:
            pass
        assert events.exchange.complete
        told = [decode_event(str(message)) async for message in socket]  # to its orderly end
        assert any(isinstance(event, LeaseEnded) for event in told)
        assert socket.close_code == 1001
        assert await running.ended() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_second_signal_skips_the_waiting(gateway, place, number: signal.Signals) -> None:
    running = gateway(place.fake("coder", rate=5, tokens=100_000))
    async with running.events() as events, running.streaming("coder") as stream:
        await events.until(LeaseGranted)
        running.signal(number)
        await events.until(GatewayDraining)
        running.signal(number)
        answer = await stream.read()
        assert answer.complete
        assert "gateway stopped" in answer.events()[-2].data
        assert await running.ended() == 0


async def test_requests_that_take_longer_than_the_drain_are_cut_off_with_an_error(gateway, place) -> None:
    running = gateway(place.fake("coder", rate=5, tokens=100_000), top="[limits]\ndrain_s = 0.2")
    async with running.streaming("coder") as stream:
        running.signal(signal.SIGTERM)
        answer = await stream.read()
        assert answer.complete
        assert "gateway stopped" in answer.events()[-2].data
        assert await running.ended() == 0


async def test_ctrl_c_ends_a_real_engine(gateway, place, smollm2: Path) -> None:
    running = gateway(place.profile("smollm2", smollm2), up=("smollm2",))
    assert (await running.chat("smollm2", max_tokens=4)).status == 200
    engine = engine_process((await running.instance("smollm2"))["pid"])
    running.signal(signal.SIGINT)
    assert await running.ended() == 0
    assert not runs(engine)
    assert list((place.state / "engines").glob("*.json")) == []
    assert not (place.state / "gateway.json").exists()


async def test_an_engine_that_ignores_sigterm_is_killed(gateway, place) -> None:
    running = gateway(place.fake("stubborn", ignore_term=True), top="[limits]\ngrace_s = 0.2")
    assert (await running.chat("stubborn")).status == 200
    engine = engine_process((await running.instance("stubborn"))["pid"])
    running.signal(signal.SIGTERM)
    assert await running.ended() == 0
    assert not runs(engine)


async def test_a_signal_while_a_model_loads_ends_the_load(gateway, place) -> None:
    running = gateway(place.fake("slow", slow_start_s=600), top="[limits]\ndrain_s = 0.2\ngrace_s = 0.2")
    asked = asyncio.create_task(running.chat("slow"))
    async with running.events() as events:
        await events.until(InstanceChanged, lambda event: event.state == "loading")
    running.signal(signal.SIGTERM)
    answer = await asked
    assert answer.status == 503
    assert await running.ended() == 0
