"""When a request whose engine was lost before its first byte is given to another instance."""

from __future__ import annotations

import random
from typing import Final

from hostler.errors import EngineLost, EngineSilent, RemoteUnreachable

#: The first time it asks at once: the fleet grants nothing on an instance that lost a request until that was seen
#: alive, so the request waits in line for just as long as it must. One that is lost again leaves time.
PAUSES_S: Final = (0.0, 0.1, 0.5)

#: How long an error waits for the end of a process, which says why, to show: milliseconds where it ended by itself.
WHY_S: Final = 0.25


def pause_s(error: EngineLost, tries: int) -> float | None:
    """How long to wait after so many tries; None: not again. Never quite the same, so that not all come at once.

    An engine that was silent for its whole bound is not asked again, nor a remote: its clients know when to come back.
    """
    if isinstance(error, EngineSilent | RemoteUnreachable) or tries >= len(PAUSES_S):
        return None
    return PAUSES_S[tries] * random.uniform(0.5, 1.5)  # noqa: S311
