"""Clients that leave: in every phase the engine hears of it, the lease ends, and the slot serves the next."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from gateway_process import Home, RunningGateway, chat_body, eventually

from hostler.events import InstanceChanged, LeaseEnded, LeaseGranted, RequestQueued
from hostler.testing import http

pytestmark = pytest.mark.anyio

ENDLESS = {"rate": 20, "tokens": 1_000_000}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    """One gateway with a profile of one slot; engines do as each request says."""
    place = Home(tmp_path_factory.mktemp("hang-ups"))
    place.write(place.fake("coder"))
    running = RunningGateway(place)
    try:
        yield running.wait_ready()
    finally:
        running.close()


async def _connections(pid: int) -> int:
    """How many connections that process serves now."""
    seen = await asyncio.to_thread(psutil.Process(pid).net_connections, "tcp")
    return sum(each.status == psutil.CONN_ESTABLISHED for each in seen)


async def _send(running: RunningGateway, exchange: http.Exchange, name: str, request: str, **fields: object) -> None:
    body, headers = chat_body(name, **fields), {"x-request-id": request}
    exchange.writer.write(http.encode("POST", "/v1/chat/completions", running.address, body, headers))
    await exchange.writer.drain()


async def _left(running: RunningGateway, request: str) -> None:
    """The lease of that request ended because its client left; nobody computes for it any more."""
    ended = await running.event(LeaseEnded, lambda event: event.request == request)
    assert ended.status == 499
    (row,) = [row for row in (await running.api("/api/requests"))["recent"] if row["id"] == request]
    assert (row["status"], row["cancelled"]) == (499, True)


@pytest.mark.parametrize(
    ("phase", "stream", "fake"),
    [
        ("decode", True, ENDLESS),
        ("prefill", True, {"first_token_ms": 600_000}),
        ("whole-prefill", False, {"first_token_ms": 600_000}),
        ("whole-decode", False, ENDLESS),
        ("noticed-late", True, ENDLESS | {"hangup_s": 0.5}),
    ],
)
async def test_a_client_that_leaves_frees_its_slot(
    shared: RunningGateway, phase: str, stream: bool, fake: dict[str, object]
) -> None:
    assert (await shared.chat("coder", max_tokens=2)).status == 200
    pid = (await shared.instance("coder"))["pid"]
    async with http.connected(shared.address) as exchange:
        await _send(shared, exchange, "coder", phase, stream=stream, fake=fake)
        await shared.event(LeaseGranted, lambda event: event.request == phase)
        if phase in ("decode", "noticed-late"):
            await exchange.read_head()
            await anext(aiter(exchange.chunks()))
    await _left(shared, phase)
    assert (await shared.chat("coder", max_tokens=2)).status == 200  # there is one slot: it must be free
    assert (await shared.instance("coder"))["pid"] == pid
    await eventually(shared.idle, "nothing runs")


async def test_leaving_the_line_keeps_the_place_of_nobody(shared: RunningGateway) -> None:
    async with http.connected(shared.address) as first:
        await _send(shared, first, "coder", "in-front", stream=True, fake=ENDLESS)
        await first.read_head()
        async with http.connected(shared.address) as second:
            await _send(shared, second, "coder", "in-line")
            await shared.event(RequestQueued, lambda event: event.request == "in-line")
        await eventually(lambda: _waiting(shared, 0), "the line is empty")
        third = asyncio.create_task(shared.chat("coder", max_tokens=2))
        await eventually(lambda: _waiting(shared, 1), "the third waits")
    assert (await third).status == 200
    async with shared.events() as events:
        await events.until(LeaseEnded, lambda event: event.request == "in-front")
    assert not any(isinstance(event, LeaseGranted) and event.request == "in-line" for event in events.seen)


async def _waiting(running: RunningGateway, count: int) -> bool:
    return (await running.api("/api/gateway"))["queued"] == count


async def test_leaving_while_the_model_loads(gateway, place) -> None:
    running = gateway(place.fake("slow", slow_start_s=2.5), top="[limits]\nload_grace_s = 0.1")
    async with http.connected(running.address) as whole, running.streaming("slow") as stream:
        await _send(running, whole, "slow", "whole")
        await running.event(InstanceChanged, lambda event: event.state == "loading")
        assert stream.status == 200  # comments, so far
    await eventually(running.idle, "nobody waits")
    assert (await running.chat("slow", max_tokens=2)).status == 200
    assert len(await running.instances()) == 1
    granted = [event for event in await _seen(running) if isinstance(event, LeaseGranted)]
    assert len(granted) == 1


async def test_a_caller_who_left_causes_no_load(gateway, place) -> None:
    running = gateway(place.fake("resident"), place.fake("wanted"), top='[memory]\nbudget = { host = "90 MiB" }')
    # Not even when the resident one turns out to hold much less than was estimated.
    need = (await running.profile("resident"))["need"]["host"]
    assert need < 90 * 2**20 < 2 * need
    async with running.streaming("resident", fake=ENDLESS) as busy:
        assert busy.status == 200
        async with http.connected(running.address) as caller:
            await _send(running, caller, "wanted", "impatient")
            await running.event(RequestQueued, lambda event: event.request == "impatient")
        await eventually(lambda: _waiting(running, 0), "the line is empty")
    await eventually(running.idle, "nothing runs")
    assert (await running.chat("resident", max_tokens=2)).status == 200
    assert {event.profile for event in await _seen(running) if isinstance(event, InstanceChanged)} == {"resident"}


async def _seen(running: RunningGateway) -> list[object]:
    """Every event so far."""
    last = (await running.api("/api/gateway"))["last_event"]
    async with running.events() as events:
        async for event in events:
            if event.id >= last:
                break
    return list(events.seen)


async def test_an_engine_that_never_notices_is_recycled_once_nobody_else_uses_it(gateway, place) -> None:
    running = gateway(place.fake("deaf", "slots = 2"), top="[limits]\nhang_up_s = 1")
    assert (await running.chat("deaf", max_tokens=2)).status == 200
    first = (await running.instance("deaf"))["pid"]
    async with running.streaming("deaf", fake=ENDLESS) as other:
        async with running.streaming("deaf", fake=ENDLESS | {"hangup_s": -1}):
            pass
        drains = await running.event(InstanceChanged, lambda event: event.state == "draining")
        assert "stayed busy" in drains.reason
        assert (await running.instance("deaf"))["pid"] == first
        assert not other.complete
        async for chunk in other.chunks():
            assert chunk.data
            break
    await running.event(InstanceChanged, lambda event: event.state == "stopped")
    assert (await running.chat("deaf", max_tokens=2)).status == 200
    assert (await running.instance("deaf"))["pid"] != first


async def test_a_real_engine_closes_the_connection_of_a_client_that_left(gateway, place, smollm2: Path) -> None:
    running = gateway(place.profile("smollm2", smollm2, "context = 4096"))
    assert (await running.chat("smollm2", max_tokens=2)).status == 200
    pid = (await running.instance("smollm2"))["pid"]
    for stream in (True, False):
        request = f"left-{stream}"
        async with http.connected(running.address) as exchange:
            fields = {"max_tokens": 4000, "ignore_eos": True, "stream": stream}
            await _send(running, exchange, "smollm2", request, **fields)
            await running.event(LeaseGranted, lambda event, request=request: event.request == request)
            if stream:
                await exchange.read_head()
                await anext(aiter(exchange.chunks()))
            await eventually(lambda: _connections(pid), "the engine serves it")
        await _left(running, request)
        assert (await running.chat("smollm2", max_tokens=2)).status == 200
        assert (await running.instance("smollm2"))["pid"] == pid
    await eventually(running.idle, "nothing runs")
