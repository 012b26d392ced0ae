"""Says how far a long measurement is, on standard error."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable


class Teller:
    """A line for every tenth of each part."""

    def counter(self, part: str, total: int) -> Callable[[], None]:
        """What to call after each step of ``total``."""
        done, began = 0, time.monotonic()

        def step() -> None:
            nonlocal done
            done += 1
            if done * 10 // total > (done - 1) * 10 // total:
                print(f"{part}: {done} of {total}, {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)

        return step
