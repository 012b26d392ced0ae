"""Which defects each build of an engine has: asked once, and kept over restarts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from hostler.fleet.learning.defects import Defect
from hostler.fleet.learning.remembered import Remembered

KEPT: Final = 50
#: Who was asked so often and said nothing that can be judged is not asked again.
TRIES: Final = 3


class Finding(msgspec.Struct, frozen=True):
    """Whether a build is ``sound`` in one respect, None as long as that is not known; how often it was asked."""

    sound: bool | None = None
    tries: int = 0

    @property
    def settled(self) -> bool:
        """Whether there is no use in asking again."""
        return self.sound is not None or self.tries >= TRIES


class Findings(Remembered[dict[Defect, Finding]]):
    """By the key of a build, which another version of it does not have."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder / "defects.json", dict[Defect, Finding], KEPT)

    def of(self, build: str) -> dict[Defect, Finding]:
        """What is known of ``build``."""
        return self.get(build) or {}

    def sound(self, build: str) -> frozenset[Defect]:
        """The defects that ``build`` is known not to have."""
        return frozenset(defect for defect, found in self.of(build).items() if found.sound)

    def learn(self, build: str, told: Mapping[Defect, bool | None]) -> None:
        """``build`` was asked for these, and answered so."""
        known = self.of(build)
        new = {defect: Finding(sound, known.get(defect, Finding()).tries + 1) for defect, sound in told.items()}
        if new:
            self.put(build, {**known, **new})
