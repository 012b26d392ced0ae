"""Why each instance is loaded, and in which order they would leave: pure."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from hostler.config.quantities import format_seconds
from hostler.engines.state import Starting
from hostler.fleet.scheduling import eviction
from hostler.fleet.scheduling import messages as m
from hostler.fleet.scheduling.room import Room
from hostler.fleet.scheduling.rules import Rules
from hostler.fleet.scheduling.turn import elsewhere, less, live, stays, total


class Reason(msgspec.Struct, frozen=True):
    """Why an instance is there. ``leaves`` counts from 1, the next to make room; None: it would not."""

    why: str
    leaves: int | None = None


def explain(state: m.State, rules: Rules, now: float) -> Mapping[str, Reason]:
    """The reason of every instance, by its id. Mates leave together and share a number."""
    return _Explaining(state, m.Situation(now=now, budget={}, rules=rules)).reasons()


def in_the_way(state: m.State, ticket: int, at: m.Situation) -> tuple[str, ...]:
    """The profiles whose room that waiter needs, and which have to become idle first; none while nobody has to."""
    waiter = next((w for w in state.waiting if w.ticket == ticket), None)
    if waiter is None or live(state, waiter.profile) is not None:
        return ()
    return tuple(sorted({i.profile for i in _Explaining(state, at).before(waiter)}))


class _Explaining(Room):
    """Asks the rules by which room is made, and makes none."""

    def before(self, waiter: m.Waiter) -> list[m.Instance]:
        """Those who have to leave before it: who told so already, who excludes it, or who would be chosen now."""
        told = [i for i in self._all() if i.closed_for == waiter.profile] or self._rivals(waiter.profile)
        want = self.state.wants.get(waiter.profile)
        if told or want is None:
            return [i for i in told if stays(i)]
        there = [i for i in self._all() if stays(i)]
        free = less(self.at.budget, total(i.holds for i in there))
        ready = [i for i in there if self._closable(i)]
        for able in (ready, [i for i in there if not i.pin]):
            chosen = self._chosen(waiter, want, free, able)
            if chosen is not None:
                return [self.state.instances[name] for name in chosen]
        return []

    def reasons(self) -> dict[str, Reason]:
        spare = [i for i in self._all() if self._idle(i) and not self._wanted(i) and not elsewhere(i)]
        order = sorted(self._candidates(spare), key=lambda c: (eviction.cost(c), c.id))
        places = {name: n for n, c in enumerate(order, 1) for name in (c.id, *c.also)}
        costs = {c.id: c for c in order}
        return {i.id: Reason(self._why(i, costs.get(i.id)), places.get(i.id)) for i in self._all()}

    def _why(self, instance: m.Instance, candidate: eviction.Candidate | None) -> str:
        waiting = sum(1 for w in self.state.waiting if w.profile == instance.profile)
        if not stays(instance):
            return str(getattr(instance.state, "reason", ""))
        if isinstance(instance.state, Starting):
            return f"{_requests(waiting)} for it" if waiting else "asked for by somebody who left"
        parts = self._parts(instance, waiting)
        if not parts and candidate is not None:
            parts = [_score(candidate)]
        elif not parts and elsewhere(instance):
            parts = ["runs elsewhere and takes no room here"]
        parts += ["came back beside others"] if instance.back else []
        parts += ["takes more when there is room for a while"] if instance.full is not None else []
        return "; ".join(parts) or "one of its group is in use"

    def _parts(self, instance: m.Instance, waiting: int) -> list[str]:
        parts = [f"answers {instance.leases} of {instance.slots}"] if instance.leases else []
        if instance.doubted:
            parts.append("lost a request, and has to show that it is there")
        if instance.closed_for is not None:
            parts.append(f"makes room for {instance.closed_for} when that is done")
        if waiting:
            parts.append(f"{_requests(waiting)} for it")
        if instance.pin:
            parts.append("pinned on request" if self.state.pins.get(instance.profile) else "pinned")
        elif any(self._mates(instance, kept) and kept.pin for kept in self._kept()):
            parts.append("one of its group is pinned")
        holds = [h.until for h in self.state.holds.values() if h.profile == instance.profile]
        if holds:
            parts.append(f"held for {format_seconds(max(0.0, max(holds) - self.at.now))}")
        return parts


def _requests(count: int) -> str:
    return f"{count} request{' waits' if count == 1 else 's wait'}"


def _score(candidate: eviction.Candidate) -> str:
    back = candidate.load_s + candidate.redo_s
    likelihood = candidate.heat / (1.0 + candidate.heat) * (eviction.BATCH if candidate.batch else 1.0)
    idle = format_seconds(round(candidate.idle_s, 1))
    return f"idle {idle}, {format_seconds(round(back, 2))} to bring back, {likelihood:.0%} likely to return"
