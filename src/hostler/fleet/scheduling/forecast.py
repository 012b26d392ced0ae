"""Where a request stands and how long it will about take: pure. Estimates, from measured loads and answers."""

from __future__ import annotations

import msgspec

from hostler.engines.state import Ready, Starting
from hostler.fleet.scheduling import messages as m
from hostler.fleet.scheduling.line import in_order, joining, starvation
from hostler.fleet.scheduling.turn import live


class Forecast(msgspec.Struct, frozen=True):
    """``place`` from 1 among those who wait for the same profile, 0 for nobody; ``wait_s`` from now on.

    None when nothing that it depends on was measured yet.
    """

    place: int
    wait_s: float | None


NOWHERE = Forecast(0, 0.0)


def forecast(state: m.State, ticket: int, rules: m.Rules, now: float) -> Forecast:
    """Where the waiter of that ticket stands; place 0 when it does not wait."""
    waiter = next((w for w in state.waiting if w.ticket == ticket), None)
    return NOWHERE if waiter is None else _of(state, waiter, rules, now)


def for_newcomer(state: m.State, waiter: m.Waiter, rules: m.Rules, now: float) -> Forecast:
    """Where somebody would stand who joined now."""
    waiter, state = joining(state, waiter)
    return _of(msgspec.structs.replace(state, waiting=(*state.waiting, waiter)), waiter, rules, now)


def _of(state: m.State, waiter: m.Waiter, rules: m.Rules, now: float) -> Forecast:
    line = [w.ticket for w in in_order(state, rules, now) if w.profile == waiter.profile and w.lease]
    place = line.index(waiter.ticket) + 1 if waiter.ticket in line else 1
    instance, lease_s = live(state, waiter.profile), state.lease_s.get(waiter.profile)
    if instance is None:
        want = state.wants.get(waiter.profile)
        slots = 1 if want is None else want.slots
        ready_s = _room_s(state, waiter, rules, now) + state.load_s.get(waiter.profile, 0.0)
        return _after(ready_s, place, place - 1, slots, lease_s)
    if isinstance(instance.state, Starting):
        left = max(0.0, instance.state.since + state.load_s.get(waiter.profile, 0.0) - now)
        return _after(left, place, place - 1, instance.slots, lease_s)
    free = max(0, instance.slots - instance.leases)
    return _after(0.0, place, max(0, place - free), instance.slots, lease_s)


def _after(ready_s: float, place: int, ahead: int, slots: int, lease_s: float | None) -> Forecast:
    """Its turn when that many before it are done; with no slot free, the one that it gets is one of them."""
    if ahead and lease_s is None:
        return Forecast(place, None)
    return Forecast(place, ready_s + ahead / slots * (lease_s or 0.0))


def _room_s(state: m.State, waiter: m.Waiter, rules: m.Rules, now: float) -> float:
    """Until room is made for a profile that is not loaded: at once where nothing is in use, else by its bound."""
    if waiter.profile not in state.wants or not any(i.leases and isinstance(i.state, Ready) for i in _in_use(state)):
        return 0.0
    return max(0.0, waiter.since + starvation(state, waiter.profile, rules) - now)


def _in_use(state: m.State) -> list[m.Instance]:
    return [i for i in state.instances.values() if i.closed_for is None]
