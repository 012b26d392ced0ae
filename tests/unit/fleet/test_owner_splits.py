"""The cuts of the graph that an engine reports are compared with those of the plan."""

from __future__ import annotations

from pathlib import Path

import pytest
from fleet_world import GIB, world

from hostler.engines.protocol import Splits
from hostler.events import EngineMessage

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(("found", "told"), [(1, 0), (3, 1)])
async def test_more_cuts_than_planned_are_told(tmp_path: Path, found: int, told: int) -> None:
    async with world(tmp_path, {"a": GIB}) as w:
        w.runner.buffers = (Splits(found, found),)  # type: ignore[assignment]
        (await w.fleet.ask("a", "r1", "me", "openai").wait()).end(200)
        messages = [each for each in w.events(EngineMessage) if isinstance(each, EngineMessage)]
        assert len(messages) == told
        assert all("cut into 3 pieces, 1 were planned" in each.text for each in messages)
