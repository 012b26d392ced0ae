"""When a request whose engine was lost before its first byte is given to another instance."""

from __future__ import annotations

import random
from typing import Final

#: The fleet may need a moment to see that an engine is gone; one that is lost again leaves more time.
PAUSES_S: Final = (0.05, 0.5)


def pause_s(tries: int) -> float | None:
    """How long to wait after so many tries; None: not again. Never quite the same, so that not all come at once."""
    return PAUSES_S[tries] * random.uniform(0.5, 1.5) if tries < len(PAUSES_S) else None  # noqa: S311
