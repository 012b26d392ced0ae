"""Which idle instances leave so that a profile fits: pure.

The set that frees enough on every device at least cost. Who leaves first has the highest score: idle time /
(time to bring it back x likelihood of return); the cost is the score turned over, so that costs of a set add up. The
time to bring it back is its measured load time and the prefill to redo. The likelihood of return comes from how often
the profile was come back to (its heat), which halves every half hour.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

import msgspec

HALF_LIFE_S = 1800.0
VISIT_S = 60.0  # uses closer together than this are, in part, one visit
FLOOR_S = 0.05  # no load is free
BATCH = 0.1  # what a batch profile's return weighs: nobody looks at the screen
EXHAUSTIVE = 10  # up to so many candidates every subset is looked at (1,023 of them)


class Candidate(msgspec.Struct, frozen=True):
    """An instance that may leave: bytes per device, idle seconds, seconds its load took.

    ``heat`` is how often it was come back to, as of now; ``redo_s`` the prefill to redo. ``also`` leave with it, and
    are counted in it.
    """

    id: str
    bytes: Mapping[str, int]
    idle_s: float
    load_s: float
    heat: float = 1.0
    redo_s: float = 0.0
    batch: bool = False
    also: tuple[str, ...] = ()


def cost(candidate: Candidate) -> float:
    """Seconds to bring it back x likelihood of return / idle seconds (at least one)."""
    likelihood = candidate.heat / (1.0 + candidate.heat) * (BATCH if candidate.batch else 1.0)
    return (FLOOR_S + candidate.load_s + candidate.redo_s) * likelihood / max(1.0, candidate.idle_s) + 1e-9


def cooled(heat: float, seconds: float) -> float:
    """What is left of ``heat`` after that time."""
    left: float = 0.5 ** (max(0.0, seconds) / HALF_LIFE_S)
    return heat * left


def warmer(heat: float, gap_s: float) -> float:
    """``heat`` after a use that came ``gap_s`` after the one before: one more visit, or part of the same one."""
    return cooled(heat, gap_s) + min(1.0, max(0.0, gap_s) / VISIT_S)


def joined(candidates: Sequence[Candidate]) -> Candidate:
    """Instances that leave together as one: as recently used as the latest, as dear as all."""
    first, *others = candidates
    if not others:
        return first
    total: dict[str, int] = {}
    for each in candidates:
        for device, size in each.bytes.items():
            total[device] = total.get(device, 0) + size
    return Candidate(
        id=first.id,
        bytes=total,
        idle_s=min(c.idle_s for c in candidates),
        load_s=sum(c.load_s for c in candidates),
        heat=max(c.heat for c in candidates),
        redo_s=sum(c.redo_s for c in candidates),
        batch=all(c.batch for c in candidates),
        also=tuple(c.id for c in others),
    )


def shortage(need: Mapping[str, int], free: Mapping[str, int]) -> dict[str, int]:
    """Bytes missing per device, devices with enough left out."""
    return {device: size - free.get(device, 0) for device, size in need.items() if size > free.get(device, 0)}


def choose(need: Mapping[str, int], free: Mapping[str, int], candidates: Sequence[Candidate]) -> tuple[str, ...] | None:
    """Ids of the set of least cost that makes ``need`` fit into ``free``; None when all together do not.

    () when nothing must leave. Candidates that hold nothing on a short device are never chosen.
    """
    missing = shortage(need, free)
    if not missing:
        return ()
    useful = [c for c in candidates if any(c.bytes.get(device, 0) > 0 for device in missing)]
    if not _covers(missing, useful):
        return None
    chosen = _cheapest_subset(missing, useful) if len(useful) <= EXHAUSTIVE else _greedy(missing, useful)
    return tuple(name for c in chosen for name in (c.id, *c.also))


def _covers(missing: Mapping[str, int], chosen: Sequence[Candidate]) -> bool:
    return all(sum(c.bytes.get(device, 0) for c in chosen) >= size for device, size in missing.items())


def _cheapest_subset(missing: Mapping[str, int], useful: Sequence[Candidate]) -> Sequence[Candidate]:
    subsets = (s for size in range(1, len(useful) + 1) for s in combinations(useful, size) if _covers(missing, s))
    return min(subsets, key=lambda s: (sum(map(cost, s)), len(s), [c.id for c in s]))


def _greedy(missing: Mapping[str, int], useful: Sequence[Candidate]) -> Sequence[Candidate]:
    """Cheapest per useful byte first, then drop every one that turned out not to be needed."""

    def price(c: Candidate) -> float:
        freed = sum(min(c.bytes.get(device, 0), size) for device, size in missing.items())
        return cost(c) / freed

    chosen: list[Candidate] = []
    for candidate in sorted(useful, key=lambda c: (price(c), c.id)):
        if _covers(missing, chosen):
            break
        chosen.append(candidate)
    for candidate in sorted(chosen, key=cost, reverse=True):
        rest = [c for c in chosen if c is not candidate]
        if _covers(missing, rest):
            chosen = rest
    return chosen
