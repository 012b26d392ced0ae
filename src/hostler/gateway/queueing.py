"""What the gateway says of the line to those who wait in it, and what they may ask of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

from hostler.config.settings import Priority
from hostler.errors import InvalidRequest, QueueTimeout
from hostler.fleet.protocol import Standing

PRIORITY: Final = b"x-hostler-priority"
_PRIORITIES: Final[dict[bytes, Priority]] = {b"interactive": "interactive", b"batch": "batch"}


def priority_of(headers: Mapping[bytes, bytes]) -> Priority | None:
    """What the client says of its request; None when it says nothing. Raises InvalidRequest."""
    told = headers.get(PRIORITY)
    if told is None:
        return None
    priority = _PRIORITIES.get(told.strip().lower())
    if priority is None:
        raise InvalidRequest(
            f"X-Hostler-Priority is {told.decode('latin-1')[:40]!r}.", hint="Send `interactive` or `batch`."
        )
    return priority


def queue_lines(standing: Standing) -> bytes:
    """Header lines of an answer that begins while its request waits: its place, and about how many seconds more."""
    if not standing.position:
        return b""
    return lines_of(standing.position, standing.wait_s)


def lines_of(place: int, wait_s: float | None) -> bytes:
    """The two header lines."""
    wait = b"" if wait_s is None else b"x-hostler-queue-wait: %d\r\n" % math.ceil(wait_s)
    return b"x-hostler-queue-place: %d\r\n%b" % (place, wait)


def timed_out(profile: str, bound_s: float, standing: Standing) -> QueueTimeout:
    """The refusal of a request that waited for its bound: when it would about have had its turn, and its place."""
    error = QueueTimeout(f"No instance of {profile!r} was free within {bound_s:g} s.")
    error.retry_after_s = max(1.0, 5.0 if standing.wait_s is None else standing.wait_s)
    error.place = standing.position
    return error
