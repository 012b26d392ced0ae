"""Which idle instances leave so that a profile fits: pure.

The cheapest set that frees enough on every device. The cost of evicting an instance is what bringing it back
would take (its measured load time) weighed by how recently it was used: somebody who asked a minute ago is
likely to ask again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

import msgspec

EXHAUSTIVE = 10  # up to so many candidates every subset is looked at (1,023 of them)


class Candidate(msgspec.Struct, frozen=True):
    """An instance that may leave: bytes per device, idle seconds, seconds its load took."""

    id: str
    bytes: Mapping[str, int]
    idle_s: float
    load_s: float


def cost(candidate: Candidate) -> float:
    """Load seconds to bring it back, times a likelihood of return that halves every 5 idle minutes."""
    likelihood: float = 0.5 ** (candidate.idle_s / 300.0)
    return (0.05 + candidate.load_s) * likelihood + 1e-6


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
    if len(useful) <= EXHAUSTIVE:
        return _cheapest_subset(missing, useful)
    return _greedy(missing, useful)


def _covers(missing: Mapping[str, int], chosen: Sequence[Candidate]) -> bool:
    return all(sum(c.bytes.get(device, 0) for c in chosen) >= size for device, size in missing.items())


def _cheapest_subset(missing: Mapping[str, int], useful: Sequence[Candidate]) -> tuple[str, ...]:
    subsets = (s for size in range(1, len(useful) + 1) for s in combinations(useful, size) if _covers(missing, s))
    best = min(subsets, key=lambda s: (sum(map(cost, s)), len(s), [c.id for c in s]))
    return tuple(c.id for c in best)


def _greedy(missing: Mapping[str, int], useful: Sequence[Candidate]) -> tuple[str, ...]:
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
    return tuple(c.id for c in chosen)
