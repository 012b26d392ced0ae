"""What `hostler plan` says, what the gateway says, and what a load then does are one and the same."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest
from gateway_process import Home, RunningGateway

from hostler.client.gateway import Client
from hostler.wire.plan import PlanReport

pytestmark = pytest.mark.anyio


def flags(told: PlanReport) -> tuple[str, ...]:
    return tuple(argument for flag in told.flags for argument in flag.argv)


async def test_a_load_goes_by_the_plan_that_was_shown(gateway: Callable[..., RunningGateway], place: Home) -> None:
    running = gateway(place.fake("coder", "context = 4096\nslots = 2"), place.fake("other"))
    async with Client(running.url) as client:
        await client.load("other")
        told = await client.plan("coder")
        alone = msgspec.json.decode(running.cli("plan", "coder", "--json").out, type=PlanReport)
        assert flags(alone) == flags(told)
        for each in (told, alone):
            assert (each.profile, each.run.context, each.run.slots, each.goes) == ("coder", 4096, 2, ())
            assert list(each.devices[-1].residents) == ["other"]
        # Other classes are corrected by what the load of the other one taught, at its own time.
        for kind in ("weights", "kv", "mapped"):
            assert getattr(alone.devices[-1].bytes, kind) == getattr(told.devices[-1].bytes, kind)

        await client.load("coder")
        instance = next(each for each in await client.instances() if each.profile == "coder")
        asked = list(instance.argv)
        for flag in told.flags:
            at = asked.index(flag.argv[0])
            assert tuple(asked[at : at + len(flag.argv)]) == flag.argv
