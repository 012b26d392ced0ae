"""How the fleet learns what a profile needs, without knowing where profiles come from."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from hostler.engines.protocol import LoadSpec
from hostler.fleet.messages import Want


class Preparer(msgspec.Struct, frozen=True):
    """How the fleet learns what a profile needs; both may be called with any profile name.

    ``spec`` blocks (it reads headers) and raises why the profile cannot be loaded; ``wanted`` gives key, pin
    and TTL of every profile there is; ``key`` that of one, "" when there is none.
    """

    spec: Callable[[str], tuple[LoadSpec, Want]]
    wanted: Callable[[], dict[str, tuple[str, bool, float | None]]]
    key: Callable[[str], str]
