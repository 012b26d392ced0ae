"""What was predicted of an instance is compared with what it does, and told."""

from __future__ import annotations

from pathlib import Path

import pytest
from gateway_process import eventually

from hostler.events import PlacementMeasured, SlowerThanPredicted

pytestmark = pytest.mark.anyio


async def test_a_slow_engine_is_told_once_with_a_cause_or_without(gateway, place) -> None:
    running = gateway(place.fake("coder", rate=200.0, tokens=20))
    for _ in range(3):
        assert (await running.chat("coder")).status == 200
    told = await running.event(SlowerThanPredicted)
    assert (told.profile, told.phase) == ("coder", "decode")
    assert told.measured < 300 < 0.75 * told.predicted
    assert told.reason
    await eventually(lambda: "speed.low" in running.logged(), "the log says so")


async def test_a_real_load_takes_what_was_planned(gateway, place, smollm2: Path) -> None:
    running = gateway(place.profile("smollm2", smollm2, "context = 2048"))
    assert (await running.chat("smollm2", max_tokens=4)).status == 200
    measured = await running.event(PlacementMeasured)
    assert measured.warnings == ()
    host = measured.devices["host"]
    assert {"weights", "kv", "compute", "output"} <= set(host)
    assert abs(host["kv"].predicted - host["kv"].reported) < 1
    assert abs(host["compute"].predicted - host["compute"].reported) < 0.1 * host["compute"].reported
    assert measured.held["host"] > 50
