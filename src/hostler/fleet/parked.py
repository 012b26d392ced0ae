"""What is left of profiles that were loaded: files in the page cache, and saved prompts; so they come back quickly.

A profile is parked from the end of its instance until it is loaded again or its settings change.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import anyio.to_thread
import msgspec

from hostler.engines.prefetch import share_in_cache
from hostler.fleet.learning.measurements import Measurement
from hostler.fleet.scheduling.messages import Reads, Want
from hostler.hardware.disks import disk_of

#: With so much of its files in the page cache a load counts as one from there.
WHOLE = 0.9


class Parked(msgspec.Struct, frozen=True, kw_only=True):
    """A parked profile: since when (monotonic seconds), how much of its files is in the page cache (0 to 1; None where
    the system does not tell), how many prompts are saved, and about how long a load would take now."""

    since: float
    cached: float | None
    prompts: int
    load_s: float


class _Left(msgspec.Struct):
    profile: str
    key: str
    files: Sequence[Path]
    since: float | None = None
    cached: float | None = None


class Parking:
    """All parked profiles. Called on the event loop's thread; looks at files in another.

    ``known`` are measurements by instance key, ``prompts`` counts what is saved of a profile, ``disk`` is how fast
    models are read, in bytes/s, None before that was measured.
    """

    def __init__(
        self,
        known: Callable[[str], Measurement | None],
        prompts: Callable[[str], int],
        disk: Callable[[], float | None] = lambda: None,
    ) -> None:
        self._known = known
        self._prompts = prompts
        self._disk = disk
        self._left: dict[str, _Left] = {}
        self._running: dict[str, str] = {}

    def loads(self, instance: str, profile: str, key: str, files: Sequence[Path]) -> float | None:
        """An instance of it starts; how much of its files was in the page cache when that was last looked at."""
        before = self._left.get(profile)
        self._left[profile] = _Left(profile, key, files)
        self._running[instance] = profile
        return before.cached if before is not None and before.key == key and before.since is not None else None

    def gone(self, instance: str, now: float) -> None:
        """That instance is reaped."""
        left = self._left.get(self._running.pop(instance, ""))
        if left is not None and left.profile not in self._running.values():
            left.since = now

    def keep_only(self, keys: Mapping[str, str]) -> None:
        """Settings changed: ``keys`` are those of the profiles that there are."""
        self._left = {name: left for name, left in self._left.items() if keys.get(name) == left.key}

    async def look(self) -> None:
        """How much of the files is still in the page cache: a few microseconds for each profile."""
        parked = [left for left in self._left.values() if left.since is not None]
        if parked:
            shares = await anyio.to_thread.run_sync(lambda: [share_in_cache(left.files) for left in parked])
            for left, share in zip(parked, shares, strict=True):
                left.cached = share

    def of(self, profile: str) -> Parked | None:
        """None for one that is loaded, or was never."""
        left = self._left.get(profile)
        if left is None or left.since is None:
            return None
        known = self._known(left.key)
        if known is None:
            return None
        warm = left.cached is not None and left.cached >= WHOLE
        load_s = known.reload_s if warm and known.reload_s is not None else known.load_s
        return Parked(since=left.since, cached=left.cached, prompts=self._prompts(profile), load_s=load_s)

    def expected(self, profile: str, want: Want) -> Want:
        """``want`` with what its load takes from where it is parked."""
        parked = self.of(profile)
        return want if parked is None else msgspec.structs.replace(want, load_s=parked.load_s)

    async def reading(self, want: Want, files: Sequence[Path]) -> Want:
        """``want`` with what its load asks of the disk: nothing that is known for one that was never measured."""
        speed = self._disk()
        if speed is None or not want.load_s:
            return want
        reads = await anyio.to_thread.run_sync(_reads, files, want.load_s, speed)
        return msgspec.structs.replace(want, reads=reads)


def _reads(files: Sequence[Path], load_s: float, speed: float) -> Reads | None:
    """None of a load whose files are in the page cache, or not there. Blocking."""
    cached = share_in_cache(files) or 0.0
    try:
        size = sum(file.stat().st_size for file in files)
    except OSError:
        return None
    if not files or cached >= WHOLE:
        return None
    return Reads(disk_of(files[0]), min(1.0, size * (1.0 - cached) / load_s / speed))
