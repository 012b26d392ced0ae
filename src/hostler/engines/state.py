"""The states of an instance and the moves between them: pure.

::

    Starting ──ready──> Ready ──drain──> Draining ──no lease left──> Stopping ──gone──> (removed)
       │                  │ └──────────────evict────────────────────────┘                 ^
       └──stop/failed─────┴───────────────────────crash─────────────────────────────────────┘

A profile whose instance failed keeps a :class:`Failure`; an instance never stays around in a failed state, so
no failed engine can hold memory. Times are seconds of the monotonic clock.
"""

from __future__ import annotations

from typing import Final

import msgspec

from hostler.errors import HostlerError

#: Crashes in a row, without one whole answer between, for each failed load that is allowed.
LOOP: Final = 3


class Starting(msgspec.Struct, frozen=True):
    """The process is being started and loads the model."""

    since: float


class Ready(msgspec.Struct, frozen=True):
    """It answered with a real token and takes leases."""

    since: float
    load_s: float


class Draining(msgspec.Struct, frozen=True):
    """It finishes its leases and takes no new ones; then it stops."""

    since: float
    reason: str


class Stopping(msgspec.Struct, frozen=True):
    """The process is being ended; its memory still counts."""

    since: float
    reason: str


InstanceState = Starting | Ready | Draining | Stopping


class Failure(msgspec.Struct, frozen=True):
    """Why a profile does not run: ``tries`` failures in a row.

    Until ``until`` (None: until something changes) requests are refused with ``error``.
    """

    error: HostlerError
    tries: int
    until: float | None


def after_failure(
    earlier: Failure | None, error: HostlerError, now: float, *, tries: int, backoff_s: float, loading: bool
) -> Failure:
    """The failure that follows ``earlier``.

    The pause doubles with each failure in a row; the ``tries``-th one stays until something changes. A crash
    after a good load (``loading`` False) is forgiven once: the next request starts the engine at once. One
    request that kills its engine is tried three times, so only :data:`LOOP` times as many crashes are a loop.
    """
    count = 1 if earlier is None else earlier.tries + 1
    if count >= (tries if loading else LOOP * tries):
        return Failure(error, count, None)
    doublings = count - 1 if loading else count - 2
    pause = backoff_s * 2.0 ** min(doublings, 8) if doublings >= 0 else 0.0
    return Failure(error, count, now + pause)
