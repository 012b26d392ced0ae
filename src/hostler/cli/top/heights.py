"""How many lines each panel gets. Pure."""

from __future__ import annotations

from collections.abc import Mapping

#: In the order in which they are served: least lines (title included), and the share of the rest they may take.
SHARES: tuple[tuple[str, int, float], ...] = (
    ("instances", 4, 0.5),
    ("devices", 2, 0.5),
    ("requests", 4, 0.5),
    ("happenings", 3, 1.0),
)


def heights(lines: int, wanted: Mapping[str, int]) -> dict[str, int]:
    """Lines per panel; the sum is ``lines``. ``wanted`` is what each would take in full.

    1. In order, each gets its least, or what it wants when that is less, as long as there are lines.
    2. In order, each gets more, up to its share of what is left. 3. The last gets the rest.
    """
    given: dict[str, int] = {}
    for name, least, _ in SHARES:
        given[name] = min(least, wanted.get(name, 0), lines - sum(given.values()))
    for name, _, share in SHARES:
        rest = lines - sum(given.values())
        given[name] += max(0, min(wanted.get(name, 0) - given[name], int(rest * share)))
    last = SHARES[-1][0]
    given[last] += lines - sum(given.values())
    return given
