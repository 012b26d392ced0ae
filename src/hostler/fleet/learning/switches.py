"""Which profile tends to follow which: from the switches there were, which is likely next."""

from __future__ import annotations

from collections.abc import Container, Mapping
from pathlib import Path
from typing import Final

from hostler.fleet.learning.remembered import Remembered

KEPT: Final = 500
#: What earlier switches count when another one is noted; about the last ten decide.
FADING: Final = 0.9
FORGOTTEN: Final = 0.05
#: Of all that followed: less than this is a guess.
LIKELY: Final = 0.4
#: Profiles that are remembered as followers of one.
FOLLOWERS: Final = 20

Weights = dict[str, float]


def noted(weights: Mapping[str, float], follower: str) -> Weights:
    """``weights`` after one more switch, to ``follower``: pure."""
    faded = {name: weight * FADING for name, weight in weights.items()}
    faded[follower] = faded.get(follower, 0.0) + 1.0
    most = sorted(faded, key=lambda name: faded[name], reverse=True)[:FOLLOWERS]
    return {name: faded[name] for name in most if faded[name] >= FORGOTTEN}


def likely(weights: Mapping[str, float], resident: Container[str]) -> str | None:
    """What most likely follows and is not there yet; None when nothing is likely: pure."""
    whole = sum(weights.values())
    absent = [name for name in weights if name not in resident]
    best = max(absent, key=lambda name: weights[name], default=None)
    return best if best is not None and weights[best] >= LIKELY * whole else None


class Switches(Remembered[Weights]):
    """Followers of each profile, kept over restarts."""

    def __init__(self, file: Path) -> None:
        super().__init__(file, Weights, KEPT)
        self._last: str | None = None

    def loaded(self, profile: str) -> None:
        """``profile`` became ready, after whichever did last."""
        if self._last is not None and self._last != profile:
            self.put(self._last, noted(self.get(self._last) or {}, profile))
        self._last = profile

    def next(self, resident: Container[str]) -> str | None:
        """What likely comes next and is not ``resident``."""
        known = self.get(self._last) if self._last is not None else None
        return None if known is None else likely(known, resident)
