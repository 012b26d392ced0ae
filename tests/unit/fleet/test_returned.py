"""Memory of devices after the end of an engine."""

from __future__ import annotations

import anyio
import pytest

from hostler.clock import ManualClock
from hostler.events import Bus, MemoryHeld
from hostler.fleet.recovery.returned import WAIT_S, Held, Returned, missing

pytestmark = pytest.mark.anyio

GIB = 2**30
HELD = {"gpu0": Held(bytes=8 * GIB, free=2 * GIB)}


class Card:
    """A device whose memory comes back after some looks, if ever; each look takes a second of the clock."""

    def __init__(self, clock: ManualClock, looks: int) -> None:
        self._clock = clock
        self._looks = looks
        self.looked = 0

    def free(self, device: str) -> int | None:
        self.looked += 1
        self._clock.advance(1.0)
        return 10 * GIB if self.looked > self._looks else 2 * GIB


async def test_memory_that_comes_back_is_waited_for_and_not_worth_a_word() -> None:
    bus, clock = Bus(), ManualClock()
    card = Card(clock, looks=1)
    with anyio.fail_after(10):
        await Returned(bus, clock, card.free, lambda device: ["nobody"]).wait("a", HELD, told=True)
    assert card.looked == 2
    assert bus.last_id == 0


@pytest.mark.parametrize("told", [True, False])
async def test_who_holds_what_does_not_come_back_is_told(told: bool) -> None:
    bus, clock = Bus(), ManualClock()
    card = Card(clock, looks=100)
    with anyio.fail_after(10):
        await Returned(bus, clock, card.free, lambda device: [f"python (pid 7) on {device}"]).wait("a", HELD, told=told)
    events = [event for event in bus.since(0) if isinstance(event, MemoryHeld)]
    expected = [("gpu0", 4 * GIB, ("python (pid 7) on gpu0",))] if told else []
    assert [(event.device, event.missing, event.holders) for event in events] == expected
    assert card.looked == WAIT_S


def test_a_device_that_does_not_answer_misses_nothing() -> None:
    assert missing(HELD["gpu0"], None) == 0
    assert missing(HELD["gpu0"], 6 * GIB) == 0
    assert missing(HELD["gpu0"], 5 * GIB) == GIB
