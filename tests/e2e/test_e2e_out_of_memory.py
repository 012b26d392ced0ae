"""An engine that runs out of memory while a request waits for it."""

from __future__ import annotations

import pytest
from gateway_process import eventually

from hostler.events import InstanceChanged, LoadRetried

pytestmark = pytest.mark.anyio

BATCHES = "batch = 512\nubatch = 512"


async def test_a_request_waits_for_two_rungs_and_is_answered(gateway, place) -> None:
    profile = place.fake("coder", engine=BATCHES, oom="CPU:512", oom_unless="ubatch=128", tokens=5)
    running = gateway(profile)
    assert (await running.chat("coder")).status == 200
    first = await running.event(LoadRetried, lambda event: event.attempt == 1)
    second = await running.event(LoadRetried, lambda event: event.attempt == 2)
    assert (first.rung, first.device, first.what) == ("ubatch", "host", "ubatch 256 instead of 512")
    assert second.what == "ubatch 128 instead of 256"
    instance = await running.instance("coder")
    assert instance["changed"] == ["ubatch 128 instead of 512, after running out of memory on host"]
    assert instance["argv"][instance["argv"].index("--ubatch-size") + 1] == "128"
    shown = " ".join(place.cli("ps").out.split())
    assert "coder: ubatch 128 instead of 512, after running out of memory on host" in shown
    assert "load.retried" in (place.logs / "hostler.log").read_text()
    await eventually((place.state / "ladders.json").exists, "what worked is remembered")


async def test_what_worked_is_where_the_next_gateway_begins(gateway, place) -> None:
    profile = place.fake("coder", engine=BATCHES, oom_unless="ubatch=256", tokens=5)
    running = gateway(profile)
    assert (await running.chat("coder")).status == 200
    await eventually((place.state / "ladders.json").exists, "what worked is remembered")
    running.close()
    again = gateway()
    assert (await again.chat("coder")).status == 200
    assert (await again.instance("coder"))["changed"]
    loading = await again.event(InstanceChanged, lambda event: event.state in ("ready", "stopped"))
    assert loading.state == "ready"


async def test_at_the_end_of_the_ladder_the_client_hears_what_was_tried(gateway, place) -> None:
    running = gateway(place.fake("coder", 'rungs = ["context"]\ncontext = 8192', oom="CUDA0:2048"))
    refused = await running.chat("coder")
    assert refused.status == 502
    error = refused.json()["error"]
    assert error["code"] == "out_of_memory"
    assert "Tried as well: context 4096 instead of 8192." in error["message"] + error.get("hint", "")


async def test_a_crash_for_want_of_memory_loads_otherwise_the_next_time(gateway, place) -> None:
    short = "ggml_aligned_malloc: insufficient memory (attempted to allocate 512.00 MB)"
    running = gateway(place.fake("coder", engine=BATCHES, load_log=short))
    assert (await running.chat("coder")).status == 200
    async with running.streaming("coder", fake={"crash_after": 3, "crash": "1", "rate": 100.0}) as stream:
        async for _ in stream.events():
            pass
    told = await running.event(LoadRetried)
    assert told.what == "ubatch 256 instead of 512"
    assert (await running.chat("coder")).status == 200
    assert (await running.instance("coder"))["changed"]
