"""What was measured of each way to run a profile: kept over restarts, so that estimates get better."""

from __future__ import annotations

from pathlib import Path

import msgspec

from hostler.fleet.learning.remembered import Remembered

KEPT = 500


class Measurement(msgspec.Struct, frozen=True, kw_only=True):
    """The last load of an instance key: seconds it took, bytes it held per device, tokens per second.

    ``flags`` are the plan's arguments as they were; what another plan held says nothing of the bytes. ``reload_s`` is
    what the last load took whose files were in the page cache; None before there was one.
    """

    load_s: float
    bytes: dict[str, int]
    tokens_per_s: float | None = None
    flags: tuple[str, ...] = ()
    reload_s: float | None = None


class Measurements(Remembered[Measurement]):
    """Measurements by instance key."""

    def __init__(self, file: Path) -> None:
        super().__init__(file, Measurement, KEPT)
