"""`hostler` and `hostler top` on a terminal: loads, switches, cancelled requests, a gateway that comes and goes."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable

import pytest
from gateway_process import HOSTLER, Home, RunningGateway, eventually

from hostler.testing.terminal import terminal

pytestmark = pytest.mark.anyio
StartGateway = Callable[..., RunningGateway]
DOWN = "\x1b[B"


async def test_the_window_over_a_switch_and_a_restart(gateway: StartGateway, place: Home) -> None:
    running = gateway(place.fake("first"), place.fake("second"))
    with terminal([HOSTLER, "top"], place.environment()) as seen:
        await asyncio.to_thread(seen.until, "Nothing is loaded")
        seen.type("l")
        await asyncio.to_thread(seen.until, "Load which profile?")
        seen.type("\r")
        await asyncio.to_thread(seen.until, "first is ready.")
        seen.type("m")
        await asyncio.to_thread(seen.until, "Switch which profile?")
        seen.type(f"{DOWN}\r")
        await asyncio.to_thread(seen.until, "second is ready; unloaded first.")
        assert [each["profile"] for each in await running.instances()] == ["second"]
        running.signal(signal.SIGKILL)
        running.expected = -signal.SIGKILL
        await running.ended()
        await asyncio.to_thread(seen.until, "reconnecting")
        gateway()
        await asyncio.to_thread(seen.until, "Connected again.")
        await asyncio.to_thread(seen.until, "Nothing is loaded")
        seen.type("q")
        assert await asyncio.to_thread(seen.end) == 0
    assert b"Traceback" not in seen.written


async def test_the_window_cancels_a_request(gateway: StartGateway, place: Home) -> None:
    running = gateway(place.fake("slow", rate=1))
    with terminal([HOSTLER, "top"], place.environment()) as seen:
        await asyncio.to_thread(seen.until, "No request has come yet.")
        async with running.streaming("slow", max_tokens=1000):
            await asyncio.to_thread(seen.until, "running")
            await asyncio.to_thread(seen.until, "req-")
            seen.type("c")
            await asyncio.to_thread(seen.until, "is cancelled.")
            await eventually(running.idle, "its slot is free")
        seen.type("q")
        assert await asyncio.to_thread(seen.end) == 0


async def test_the_menu_loads_and_the_window_follows(gateway: StartGateway, place: Home) -> None:
    running = gateway(place.fake("plain"), place.fake("variant", 'group = "bench"'))
    with terminal([HOSTLER], place.environment()) as seen:
        await asyncio.to_thread(seen.until, "bench")
        seen.type(f"{DOWN}\r")
        await asyncio.to_thread(seen.until, "variant")
        seen.type("\r")
        await asyncio.to_thread(seen.until, "variant is ready.")
        assert [each["profile"] for each in await running.instances()] == ["variant"]
        seen.type("q")
        assert await asyncio.to_thread(seen.end) == 0


async def test_one_frame_and_one_snapshot_of_a_real_gateway(gateway: StartGateway, place: Home) -> None:
    running = gateway(place.fake("coder"))
    await running.chat("coder")
    frame = place.cli("top", "--once")
    assert frame.code == 0, frame.err
    assert "Instances (1)" in frame.out
    assert "is ready" in frame.out
    # The ledger writes behind the requests; the telemetry begins some seconds after the gateway.
    await eventually(lambda: recorded(running), "the request is in the ledger")
    await eventually(lambda: measured(running), "the devices were read")
    known = place.cli("top", "--json").json
    assert [each["profile"] for each in known["requests"]["recent"]] == ["coder"]
    assert known["metrics"]["devices"][-1]["now"] is not None
    assert known["instances"][0]["profile"] == "coder"


async def recorded(running: RunningGateway) -> bool:
    return bool((await running.api("/api/requests"))["recent"])


async def measured(running: RunningGateway) -> bool:
    devices = (await running.api("/api/hardware/gpu/metrics"))["devices"]
    return bool(devices) and devices[-1]["now"] is not None
