"""What `keep_alive` may do: a request says how long its model shall stay, the operator how far that is heard."""

from __future__ import annotations

import math
from typing import Protocol

from hostler.config.settings import KeepAlive


class Stays(Protocol):
    """The fleet, as far as this goes."""

    def stay(self, profile: str, seconds: float | None) -> None: ...

    def pin(self, profile: str, pin: bool) -> None: ...


def obey(fleet: Stays, rule: KeepAlive, profile: str, seconds: float) -> None:
    """Have ``profile`` stay for so many idle seconds, infinity for ever, as far as ``rule`` goes.

    It may leave sooner than its `ttl`, never later; and is pinned only where that is allowed.
    """
    if rule == "ignore":
        return
    for_ever = math.isinf(seconds)
    if for_ever and rule == "pin":
        fleet.pin(profile, True)
    fleet.stay(profile, None if for_ever else seconds)
