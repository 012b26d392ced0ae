"""What the scheduler keeps to: limits, and what the configuration says of profiles and their groups. Frozen data."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """What the configuration says of a profile and the others: its group and the group's rule, and its priority."""

    group: str = ""
    exclusive: bool = False
    together: bool = False
    batch: bool = False


PLAIN = Terms()


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """The limits the scheduler keeps.

    ``residency`` is how many requests a loaded instance answers, while any wait for it, before it is closed for
    others. ``loads`` is how many may load at the same time, None as many as their disks can feed. ``terms`` is by
    profile; one that is not in it has none.
    """

    queue: int
    starvation_s: float
    load_tries: int
    backoff_s: float
    residency: int = 1
    loads: int | None = None
    terms: Mapping[str, Terms] = {}

    def of(self, profile: str) -> Terms:
        """The terms of a profile."""
        return self.terms.get(profile, PLAIN)

    def apart(self, one: str, other: str) -> bool:
        """Whether the two may not be resident at the same time."""
        mine = self.of(one)
        return mine.exclusive and one != other and self.of(other).group == mine.group

    def mates(self, one: str, other: str) -> bool:
        """Whether the two are loaded and leave together."""
        mine = self.of(one)
        return mine.together and one != other and self.of(other).group == mine.group
