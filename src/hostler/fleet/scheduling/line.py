"""Whose turn it is among those who wait: pure.

Requests of one profile go in turns of the keys they came with: a key with many waiters has its second behind the
first of every other. A turn is given when a waiter joins and never changes, so nobody can be passed for ever.
`batch` waiters let all others go first until they have waited for the starvation bound.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec.structs import replace

from hostler.fleet.scheduling import messages as m
from hostler.fleet.scheduling.rules import Rules

Space = tuple[str, bool]  # a profile, and whether these are its batch waiters: turns count within


def starvation(state: m.State, profile: str, rules: Rules) -> float:
    """Seconds after which a waiter goes before new ones for resident profiles."""
    return max(rules.starvation_s, 3 * state.load_s.get(profile, 0.0))


def starving(state: m.State, waiter: m.Waiter, rules: Rules, now: float) -> bool:
    """Whether it has waited for its bound; an urgent one has none."""
    bound = 0.0 if waiter.urgent else starvation(state, waiter.profile, rules)
    return now - waiter.since >= bound


def joining(state: m.State, waiter: m.Waiter) -> tuple[m.Waiter, m.State]:
    """The waiter with its turn, and the state that remembers it."""
    space = (waiter.profile, waiter.batch)
    there = [w for w in state.waiting if _space(w) == space]
    given = state.turns.get(space, {}) if there else {}
    head = min((w.turn for w in there), default=0)
    turn = max(head, given.get(waiter.principal, -1) + 1)
    turns = {**state.turns, space: {**given, waiter.principal: turn}}
    return replace(waiter, turn=turn), replace(state, turns=turns)


def in_order(state: m.State, rules: Rules, now: float) -> list[m.Waiter]:
    """All who wait, in the order in which instances are given to them."""
    if len(state.waiting) < 2:
        return list(state.waiting)
    heads = _heads(state)

    def key(w: m.Waiter) -> tuple[bool, int, float, int]:
        last = w.batch and not starving(state, w, rules, now)
        return last, w.turn - heads[_space(w)], w.since, w.ticket

    return sorted(state.waiting, key=key)


def most_pressing(state: m.State, rules: Rules, now: float) -> list[m.Waiter]:
    """One waiter of each profile that is waited for: urgent ones, then by priority, then those who wait longest."""

    def key(w: m.Waiter) -> tuple[bool, bool, bool, float]:
        return not w.urgent, w.mate, w.batch and not starving(state, w, rules, now), w.since

    first: dict[str, m.Waiter] = {}
    for waiter in sorted(state.waiting, key=key):
        first.setdefault(waiter.profile, waiter)
    return list(first.values())


def _space(waiter: m.Waiter) -> Space:
    return waiter.profile, waiter.batch


def _heads(state: m.State) -> Mapping[Space, int]:
    heads: dict[Space, int] = {}
    for waiter in state.waiting:
        space = _space(waiter)
        heads[space] = min(waiter.turn, heads.get(space, waiter.turn))
    return heads
