"""A card that runs out of memory: the ladder is walked with real processes and plans."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest
from msgspec.structs import replace
from placed_desk import WITHIN_S, Desk, desk

from hostler.config.settings import Profile
from hostler.errors import OutOfMemory
from hostler.events import LoadRetried

pytestmark = pytest.mark.anyio

LLAMA = Profile(model="Llama-3.1-8B-Q8_0.gguf", context=32768, devices=("gpu0",))
OTHER = replace(LLAMA, context=8192, ttl=None)


def _steps(here: Desk) -> list[tuple[str, str, str]]:
    return [(e.rung, e.device, e.what) for e in here.bus.since(0) if isinstance(e, LoadRetried)]


async def test_layers_go_to_the_host_until_the_card_has_room(tmp_path: Path) -> None:
    profiles = {"llama": replace(LLAMA, rungs=("host",))}
    async with desk(tmp_path, profiles, oom="CUDA0:900", oom_unless="layers=30") as here:
        await here.load("llama")
        assert {(rung, device) for rung, device, _ in _steps(here)} == {("host", "gpu0")}
        assert 1 <= len(_steps(here)) <= 3
        assert int(here.value("llama", "--n-gpu-layers") or 99) <= 30
        [instance] = here.fleet.instances()
        assert len(instance.changed) == 1
        assert "more on the host" in instance.changed[0]
        assert "after running out of memory on gpu0" in instance.changed[0]
        assert instance.predicted_bytes["gpu0"] < 13 * 2**30


async def test_a_request_is_granted_after_two_rungs(tmp_path: Path) -> None:
    profiles = {"llama": replace(LLAMA, rungs=("kv", "context"))}
    async with desk(tmp_path, profiles, oom="CUDA0:900", oom_unless="context=16384") as here:
        with anyio.fail_after(WITHIN_S):
            lease = await here.fleet.ask("llama", "r1", "me", "openai").wait()
        lease.end(200)
        assert [what for _, _, what in _steps(here)] == [
            "KV q8_0 instead of f16",
            "KV q4_0 instead of q8_0",
            "context 16384 instead of 32768",
        ]
        assert here.value("llama", "--ctx-size") == "16384"
        assert here.value("llama", "--cache-type-v") == "q4_0"


async def test_idle_residents_leave_before_the_next_try(tmp_path: Path) -> None:
    profiles = {"other": OTHER, "llama": replace(LLAMA, rungs=("evict", "context"))}
    async with desk(tmp_path, profiles, oom="CUDA0:900", oom_unless="context=16384") as here:
        await here.load("other")
        lease = await here.fleet.ask("other", "r1", "me", "openai").wait()
        lease.end(200)
        await here.load("llama")
        assert [rung for rung, _, _ in _steps(here)] == ["evict", "context"]
        assert _steps(here)[0][2] == "idle profiles leave gpu0 first: other"
        assert here.resident() == {"llama"}
        assert here.evicted() == [("llama", ("other",))]


async def test_when_nothing_helps_the_error_tells_the_device_and_what_was_tried(tmp_path: Path) -> None:
    async with desk(tmp_path, {"llama": replace(LLAMA, rungs=("ubatch", "host"))}, oom="CUDA0:900") as here:
        with pytest.raises(OutOfMemory, match="900 MiB of memory on device 0") as failed:
            await here.load("llama")
        assert "ubatch" in failed.value.hint
        assert "on gpu0" in failed.value.hint
        assert len(_steps(here)) <= 8
        assert here.fleet.instances() == []
