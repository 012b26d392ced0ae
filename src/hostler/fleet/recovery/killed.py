"""Loads that a signal from outside ended: it says nothing against the profile, so they are tried again, within bounds.

The kernel's out-of-memory killer is such a signal too: what it kills again and again has failed.
"""

from __future__ import annotations

from typing import Final

from hostler.errors import HostlerError

#: As :mod:`hostler.engines.failures.causes` calls it.
CAUSE: Final = "killed"
TRIES: Final = 2


class Killed:
    """How often in a row, by instance key."""

    def __init__(self) -> None:
        self._times: dict[str, int] = {}

    def again(self, key: str, error: HostlerError) -> bool:
        """Whether a load that ended so is tried once more."""
        times = self._times.get(key, 0) + 1
        if error.cause != CAUSE or times > TRIES:
            self._times.pop(key, None)
            return False
        self._times[key] = times
        return True

    def worked(self, key: str) -> None:
        """It has loaded."""
        self._times.pop(key, None)
