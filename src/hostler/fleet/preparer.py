"""How the fleet learns what a profile needs, without knowing where profiles come from."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec

from hostler.engines.protocol import LoadSpec
from hostler.fleet.recovery.ladder import Changes
from hostler.fleet.scheduling.messages import Want
from hostler.fleet.scheduling.rules import Terms


async def nothing_to_probe(_: str) -> None:
    """For fleets whose builds are known."""


class Preparer(msgspec.Struct, frozen=True):
    """How the fleet learns what a profile needs; all may be called with any profile name.

    ``spec`` blocks (it reads headers and plans) and raises why the profile cannot be loaded; it is also told what
    changes since the profile ran out of memory. ``wanted`` gives key, pin and TTL of every profile there is; ``key``
    that of one, "" when there is none; ``terms`` what holds between profiles. ``probe`` asks its build, before
    ``spec``, what it can use; raises BuildUnusable. ``disk`` tells how fast models are read, in bytes/s, if that was
    measured.
    """

    spec: Callable[[str, Changes], tuple[LoadSpec, Want]]
    wanted: Callable[[], dict[str, tuple[str, bool, float | None]]]
    key: Callable[[str], str]
    probe: Callable[[str], Awaitable[None]] = nothing_to_probe
    terms: Callable[[], dict[str, Terms]] = dict
    disk: Callable[[], float | None] = lambda: None
