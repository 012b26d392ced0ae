"""What the gateway says of the line to those who wait in it, and what they may ask of it."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from hostler.clock import Clock
from hostler.config.settings import Priority
from hostler.errors import InvalidRequest, QueueTimeout
from hostler.fleet.protocol import Lease, Standing, Ticket

COMMENT_S: Final = 2.0
CLIENT_LEFT: Final = 499

PRIORITY: Final = b"x-hostler-priority"
_PRIORITIES: Final[dict[bytes, Priority]] = {b"interactive": "interactive", b"batch": "batch"}


class Patience(msgspec.Struct, frozen=True, kw_only=True):
    """How a request waits: since when (monotonic seconds), how long at the most, and what its client hears of it.

    ``say`` is called after ``first_s`` and then every :data:`COMMENT_S`; None for one that does not stream.
    """

    profile: str
    since: float
    bound_s: float | None
    first_s: float
    say: Callable[[Standing], None] | None


async def stood(ticket: Ticket, clock: Clock, patience: Patience, left: Callable[[], bool]) -> Lease:
    """The lease that ``ticket`` becomes; raises the refusal, or QueueTimeout. One that is granted in the turn in which
    the client ``left`` is given back. Cancelling leaves the line."""
    waiter = asyncio.ensure_future(ticket.wait())
    try:
        return await patiently(waiter, ticket, clock, patience)
    finally:
        if not waiter.done():
            waiter.cancel()
            ticket.leave()
        elif left() and not waiter.cancelled() and waiter.exception() is None:
            waiter.result().end(CLIENT_LEFT)


async def patiently(waiter: asyncio.Future[Lease], ticket: Ticket, clock: Clock, patience: Patience) -> Lease:
    """The lease that ``waiter`` gets, while the client hears that it is not forgotten. Raises QueueTimeout."""
    give_up = None if patience.bound_s is None else patience.since + patience.bound_s
    pause = patience.first_s
    while True:
        left = None if give_up is None else max(0.0, give_up - clock.monotonic())
        bounds = [bound for bound in (left, pause if patience.say else None) if bound is not None]
        await asyncio.wait((waiter,), timeout=min(bounds) if bounds else None)
        if waiter.done():
            return waiter.result()
        if give_up is not None and clock.monotonic() >= give_up:
            raise timed_out(patience.profile, patience.bound_s or 0.0, ticket.standing())
        if patience.say is not None:
            patience.say(ticket.standing())
        pause = COMMENT_S


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


def waited_lines(place: int, lease: Lease | None) -> bytes:
    """Header lines of an answer whose request had waited: its place when it joined the line, and how many seconds."""
    if not place or lease is None:
        return b""
    return b"x-hostler-queue-place: %d\r\nx-hostler-queue-waited: %.1f\r\n" % (
        place,
        (lease.queue_ms + lease.load_ms) / 1e3,
    )


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
