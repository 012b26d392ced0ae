"""The ring keeps the last events as they were, packed or not, and no more memory than it may."""

from __future__ import annotations

import secrets

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hostler.clock import ManualClock
from hostler.events import AnyEvent, Bus, EngineMessage, Gap, LeaseEnded, PlacementMeasured, Swap
from hostler.events.bus import RARE
from hostler.events.kinds import Sizes
from hostler.events.ring import BLOCK, Ring


def event(number: int) -> AnyEvent:
    if number % 3 == 0:
        return Swap(id=number, at=1.5, profile="a", evicted=("b", "c"), reason="room")
    if number % 3 == 1:
        devices = {"host": {"weights": Sizes(1.0, 2.0)}}
        return PlacementMeasured(id=number, at=2.5, instance="a-1", profile="a", devices=devices, warnings=("w",))
    return LeaseEnded(id=number, at=3.5, request=f"r{number}", profile="a", instance="a-1", status=200, held_s=0.25)


@settings(max_examples=60, deadline=None)
@given(
    size=st.integers(1, 3 * BLOCK),
    told=st.integers(0, 6 * BLOCK),
    count=st.integers(0, 7 * BLOCK),
    limit=st.none() | st.integers(0, 2 * BLOCK),
)
def test_it_is_the_end_of_the_list_of_all(size: int, told: int, count: int, limit: int | None) -> None:
    ring, every = Ring(size), list(map(event, range(told)))
    for each in every:
        ring.append(each)
    kept = every[-size:]
    assert len(ring) == len(kept)
    wanted = kept[-count:] if count else []
    assert ring.last(count, limit) == wanted[:limit]


def test_large_events_leave_fewer() -> None:
    ring = Ring(10_000)
    for number in range(6 * BLOCK):
        text = secrets.token_hex(2048)  # nothing makes that smaller than half
        ring.append(EngineMessage(id=number, instance="a-1", profile="a", level="error", text=text))
    assert 2 * BLOCK <= len(ring) < 6 * BLOCK
    kept = ring.last(10_000)
    assert [each.id for each in kept] == list(range(6 * BLOCK - len(ring), 6 * BLOCK))


def test_what_is_no_text_is_kept_too() -> None:
    ring = Ring(10_000)
    told = [
        EngineMessage(id=number, instance="a-1", profile="a", level="error", text="\udcff")
        for number in range(3 * BLOCK)
    ]
    for each in told:
        ring.append(each)
    assert ring.last(10_000) == told


@pytest.mark.parametrize("ring", [5, 2 * BLOCK, 10_000])
def test_a_reader_that_comes_late_is_told_what_it_missed(ring: int) -> None:
    bus, told = Bus(ManualClock(), ring=ring), 3 * BLOCK
    for _ in range(told):
        bus.publish(Swap(profile="a", evicted=(), reason="room"))
    news = bus.since(0)
    if ring < told:
        gap, *news = news
        assert isinstance(gap, Gap)
        assert (gap.first, gap.last) == (1, told - ring)
    assert [each.id for each in news] == list(range(max(0, told - ring) + 1, told + 1))
    assert [each.id for each in bus.since(told - 1)] == [told]
    assert [each.id for each in bus.since(told - 4, limit=2)] == [told - 3, told - 2]
    assert bus.since(told) == []


def test_who_wants_no_requests_is_not_given_them() -> None:
    bus = Bus(ManualClock())
    for number in range(1, 6 * BLOCK + 1):
        bus.publish(event(number))
    rare = [number for number in range(1, 6 * BLOCK + 1) if number % 3 != 2]
    assert [each.id for each in bus.rare_since(0)] == rare[-RARE:]
    assert [each.id for each in bus.rare_since(6 * BLOCK - 3)] == [6 * BLOCK - 2, 6 * BLOCK]
    assert bus.rare_since(6 * BLOCK) == []
