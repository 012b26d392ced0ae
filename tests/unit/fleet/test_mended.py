"""A failure that stays ends when what it came from has changed."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest
from fleet_world import GIB, world

from hostler.config.settings import LimitSettings
from hostler.errors import LoadFailed
from hostler.events import Bus, DeviceFound, InstanceChanged
from hostler.fleet.recovery.mended import Mended

pytestmark = pytest.mark.anyio


async def test_a_profile_that_failed_for_good_is_tried_again_when_its_file_is_another(tmp_path: Path) -> None:
    limits = LimitSettings(load_tries=1)
    mark = "as it was"
    async with world(tmp_path, {"a": GIB}, limits=limits) as w, anyio.create_task_group() as group:
        looked = 0

        def marks(profile: str) -> str:
            nonlocal looked
            looked += 1
            return mark

        def failed(profile: str) -> bool:
            return w.fleet.profile(profile).state == "failed"

        group.start_soon(Mended(w.bus, marks, failed, w.fleet.reconfigured).run, 0.01)
        w.runner.fail["a"] = LoadFailed("It lacks a tensor.")
        with pytest.raises(LoadFailed):
            await w.fleet.ask("a", "r1", "me", "openai").wait()
        await w.until(lambda: looked > 3)
        assert w.fleet.profile("a").state == "failed"
        with pytest.raises(LoadFailed):
            w.fleet.ask("a", "r2", "me", "openai")
        w.runner.fail.clear()
        mark = "fetched again"
        await w.until(lambda: w.fleet.profile("a").state == "unloaded")
        (await w.fleet.ask("a", "r3", "me", "openai").wait()).end(200)
        group.cancel_scope.cancel()


async def test_a_device_that_is_there_again_mends_what_failed() -> None:
    bus, mended = Bus(), 0

    def again() -> None:
        nonlocal mended
        mended += 1

    async with anyio.create_task_group() as group:
        looks = 0

        def marks(profile: str) -> str:
            nonlocal looks
            looks += 1
            return ""

        group.start_soon(Mended(bus, marks, lambda profile: True, again).run, 0.01)
        await anyio.wait_all_tasks_blocked()
        bus.publish(InstanceChanged(instance="", profile="a", state="failed"))
        with anyio.fail_after(10):
            while looks < 2:
                await anyio.sleep(0.001)
        assert mended == 0
        bus.publish(DeviceFound(device="gpu0"))
        with anyio.fail_after(10):
            while not mended:
                await anyio.sleep(0.001)
        group.cancel_scope.cancel()
