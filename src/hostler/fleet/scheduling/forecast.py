"""Where a request stands and how long it will about take: pure. Estimates, from measured loads and answers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

import msgspec

from hostler.engines.state import Draining, Starting, Stopping
from hostler.fleet.scheduling import messages as m
from hostler.fleet.scheduling.eviction import shortage
from hostler.fleet.scheduling.line import in_order, joining, most_pressing, starvation
from hostler.fleet.scheduling.turn import ahead_of, less, live, total


class Forecast(msgspec.Struct, frozen=True):
    """``place`` from 1 among those who wait for the same profile, 0 for nobody; ``wait_s`` from now on.

    None when something that it depends on was not measured yet, or takes longer than it was expected to.
    """

    place: int
    wait_s: float | None


NOWHERE = Forecast(0, 0.0)
LATE: Final = math.inf  # takes longer than expected: what is passed is never promised anew


def forecast(state: m.State, ticket: int, at: m.Situation) -> Forecast:
    """Where the waiter of that ticket stands; place 0 when it does not wait."""
    waiter = next((w for w in state.waiting if w.ticket == ticket), None)
    return NOWHERE if waiter is None else _of(state, waiter, at)


def for_newcomer(state: m.State, waiter: m.Waiter, at: m.Situation) -> Forecast:
    """Where somebody would stand who joined now."""
    waiter, state = joining(state, waiter)
    return _of(msgspec.structs.replace(state, waiting=(*state.waiting, waiter)), waiter, at)


def _of(state: m.State, waiter: m.Waiter, at: m.Situation) -> Forecast:
    line = [w.ticket for w in in_order(state, at.rules, at.now) if w.profile == waiter.profile and w.lease]
    place = line.index(waiter.ticket) + 1 if waiter.ticket in line else 1
    instance, lease_s = live(state, waiter.profile), state.lease_s.get(waiter.profile)
    if instance is None:
        want = state.wants.get(waiter.profile)
        slots = 1 if want is None else want.slots
        return _after(_ready_s(state, waiter, at), place, place - 1, slots, lease_s)
    if isinstance(instance.state, Starting):
        return _after(_load_left_s(state, instance, at.now), place, place - 1, instance.slots, lease_s)
    if instance.closed_for is not None:
        return _after(_returns_s(state, instance, at.now), place, place - 1, instance.slots, lease_s)
    ahead = max(0, place - max(0, instance.slots - instance.leases))
    if ahead and instance.leases and lease_s is not None:
        gone_s = lease_s - _left_s(lease_s, at.now - instance.last_used)
        return _after(-gone_s / instance.slots, place, ahead, instance.slots, lease_s)
    return _after(0.0, place, ahead, instance.slots, lease_s)


def _after(ready_s: float | None, place: int, ahead: int, slots: int, lease_s: float | None) -> Forecast:
    """Its turn when that many before it are done; with no slot free, the one that it gets is one of them."""
    if ready_s is None or math.isinf(ready_s) or (ahead and lease_s is None):
        return Forecast(place, None)
    return Forecast(place, ready_s + ahead / slots * (lease_s or 0.0))


def _ready_s(state: m.State, waiter: m.Waiter, at: m.Situation) -> float | None:
    """Until a profile that is not loaded is: those before it that it does not fit beside, room for it, and its load."""
    load_s = _load_s(state, waiter.profile)
    if load_s is None:
        return None
    room_s = _room_s(state, waiter, at)
    want = state.wants.get(waiter.profile)
    if want is not None and (ahead := ahead_of(state, want, at.rules)):
        room_s = max(room_s, min(_load_left_s(state, i, at.now) or 0.0 for i in ahead))
    for other in most_pressing(state, at.rules, at.now):
        if other.profile == waiter.profile:
            break
        if live(state, other.profile) is None and not _beside(state, waiter, other, at):
            known = (_load_s(state, other.profile) or 0.0) + state.lease_s.get(other.profile, 0.0)
            room_s = max(room_s, _room_s(state, other, at) + known)
    return room_s + load_s


def _load_s(state: m.State, profile: str) -> float | None:
    """What its load will take: as prepared, for where its files are now, else as it did the last time."""
    want = state.wants.get(profile)
    return state.load_s.get(profile) if want is None or want.load_s is None else want.load_s


def _beside(state: m.State, one: m.Waiter, other: m.Waiter, at: m.Situation) -> bool:
    """Whether both can be loaded at the same time."""
    mine, theirs = state.wants.get(one.profile), state.wants.get(other.profile)
    if mine is None or theirs is None:
        return True
    pinned = total(i.holds for i in state.instances.values() if i.pin)
    both = total((mine.need, theirs.need))
    return not at.rules.apart(one.profile, other.profile) and not shortage(both, less(at.budget, pinned))


def _room_s(state: m.State, waiter: m.Waiter, at: m.Situation) -> float:
    """Until enough of those who are loaded have left for a profile that is not."""
    want = state.wants.get(waiter.profile)
    if want is None:
        return 0.0
    leave = [(_leaves_s(state, i, waiter, at), i) for i in state.instances.values()]
    rivals = [seconds for seconds, i in leave if seconds is not None and at.rules.apart(waiter.profile, i.profile)]
    free: Mapping[str, int] = less(at.budget, total(i.holds for _, i in leave))
    longest = max(rivals, default=0.0)
    for seconds, instance in sorted(((s, i) for s, i in leave if s is not None), key=lambda each: each[0]):
        if not shortage(want.need, free):
            break
        free = total((free, instance.holds))
        longest = max(longest, seconds)
    return longest


def _leaves_s(state: m.State, instance: m.Instance, waiter: m.Waiter, at: m.Situation) -> float | None:
    """Until the instance may leave for ``waiter``; None for one that never does.

    1. It leaves already. 2. A held one when its hold is over. 3. An idle one at once. 4. One that nobody else waits for
    when its answers are done. 5. Any other, and one whose answers were never measured, after the waiter's bound; who is
    there still then is late.
    """
    if isinstance(instance.state, Stopping):
        return 0.0
    if instance.pin:
        return None
    busy_s = _busy_s(state, instance, at.now)
    if isinstance(instance.state, Draining) or instance.closed_for == waiter.profile:
        return LATE if busy_s is None else busy_s
    held_s = max((h.until - at.now for h in state.holds.values() if h.profile == instance.profile), default=0.0)
    wanted = any(w.profile == instance.profile for w in state.waiting)
    if not wanted and busy_s is not None:
        return max(0.0, held_s, busy_s)
    bound_s = 0.0 if waiter.urgent else waiter.since + starvation(state, waiter.profile, at.rules) - at.now
    return LATE if bound_s < 0 else max(held_s, bound_s) + (busy_s or 0.0)


def _busy_s(state: m.State, instance: m.Instance, now: float) -> float | None:
    """What is left of its load and answers, 0 of an idle one; None when they were never measured, or LATE."""
    if isinstance(instance.state, Starting):
        return _load_left_s(state, instance, now)
    if not instance.leases:
        return 0.0
    lease_s = state.lease_s.get(instance.profile)
    return None if lease_s is None else _left_s(lease_s, now - instance.last_used)


def _load_left_s(state: m.State, instance: m.Instance, now: float) -> float | None:
    load_s = state.load_s.get(instance.profile)
    return None if load_s is None else _left_s(load_s, now - instance.state.since)


def _left_s(expected_s: float, spent_s: float) -> float:
    """What is left of something that was expected to take so long."""
    return expected_s - spent_s if spent_s <= expected_s else LATE


def _returns_s(state: m.State, instance: m.Instance, now: float) -> float | None:
    """Until a profile that makes room now is back: the other's load and an answer of it, then its own load."""
    busy_s, other = _busy_s(state, instance, now), instance.closed_for or ""
    loads = (state.load_s.get(other), state.load_s.get(instance.profile))
    if busy_s is None or loads[0] is None or loads[1] is None:
        return None
    return busy_s + loads[0] + state.lease_s.get(other, 0.0) + loads[1]
