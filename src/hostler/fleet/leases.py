"""A request's place in line, and the lease it becomes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING

from hostler.engines.protocol import Endpoint
from hostler.errors import EngineLost, HostlerError
from hostler.fleet.protocol import Abandoned, Conversation, Place, Standing, Timing

if TYPE_CHECKING:
    from hostler.fleet.owner import FleetOwner
    from hostler.fleet.prompts.seat import Seat


class HeldLease:
    """One request's right to one instance; see :class:`hostler.fleet.protocol.Lease`."""

    __slots__ = (
        "_callback",
        "_fleet",
        "_lost",
        "_told",
        "api",
        "asked",
        "beside",
        "cancelled",
        "ended",
        "endpoint",
        "granted",
        "instance",
        "load_ms",
        "lost",
        "place",
        "principal",
        "profile",
        "queue_ms",
        "redo_s",
        "request",
        "seat",
        "tenant",
    )

    def __init__(
        self, fleet: FleetOwner, asked: Asked, instance: str, endpoint: Endpoint, now: float, load_s: float
    ) -> None:
        self._fleet = fleet
        self._callback: Callable[[], None] | None = None
        self._lost = False
        self._told: asyncio.Event | None = None  # somebody waits for why it is lost
        self.lost: EngineLost | None = None
        self.seat: Seat | None = None
        self.place: Place | None = None
        self.tenant = ""  # whose words they are, as it was when it was let in
        self.redo_s: float | None = None
        self.ended = False
        self.cancelled = False
        self.beside = False
        self.request = asked.request
        self.profile = asked.profile
        self.principal = asked.principal
        self.api = asked.api
        self.asked = asked.since
        self.granted = now
        self.instance = instance
        self.endpoint = endpoint
        self.load_ms = load_s * 1000
        self.queue_ms = max(0.0, (now - asked.since - load_s) * 1000)

    def enter(self, seat: Seat | None, conversation: Conversation | None) -> None:
        """It is let in to an instance with that seat, which says where it goes in the engine."""
        self.seat = seat
        if seat is not None:
            self.tenant = seat.tenant(self.principal)
            self.place = seat.enter(self.tenant, conversation)

    def on_cancel(self, callback: Callable[[], None]) -> None:
        """Call back when the lease is taken back: at once if that was between its grant and now."""
        if self._lost:
            callback()
        else:
            self._callback = callback

    def cancel(self) -> None:
        """Tell the holder, once, that an operator ends the request."""
        self.cancelled = True
        self.lose()

    def lose(self, why: HostlerError | None = None) -> None:
        """Tell the holder, once, that the engine is gone, and why if that is known."""
        self._lost = True
        self.doom(why if isinstance(why, EngineLost) else None)
        callback, self._callback = self._callback, None
        if callback is not None:
            callback()

    def doom(self, why: EngineLost | None) -> None:
        """The holder will be told that the engine is gone; why is known before."""
        self.lost = why
        if self._told is not None:
            self._told.set()

    async def why(self, within_s: float) -> EngineLost | None:
        known = self._lost or self.lost is not None or self.endpoint.remote is not None
        if not known:
            self._told = asyncio.Event()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(within_s):
                    await self._told.wait()
        return self.lost

    def measured(self, tokens_per_s: float, timing: Timing | None = None) -> None:
        if not self.ended:
            if timing is not None:
                self.redo_s = timing.redo_s if self.seat is None else self.seat.bringing_s(timing)
            self._fleet.note_speed(self, tokens_per_s, timing)

    def timed(self, timing: Timing) -> None:
        if not self.ended and self.seat is not None:
            self.seat.finished(self.tenant, timing, self.place)

    def leave_slot(self) -> None:
        """The engine is done with it."""
        if self.seat is not None:
            self.seat.left(self.place)

    def doubt(self) -> None:
        if not self.ended:
            self._fleet.doubt(self)

    def end(self, status: int, *, abandoned: Abandoned | None = None) -> None:
        if not self.ended:
            self.ended = True
            self._callback = None
            # A remote's slot is free when the connection is closed, which it is.
            watched = abandoned if self.endpoint.remote is None else None
            self._fleet.release(self, status, abandoned=watched)


class Asked:
    """Who asks for what, since when (monotonic seconds); ``batch``: after those who do not. ``conversation`` as in
    :meth:`hostler.fleet.protocol.Fleet.lease_now`."""

    __slots__ = ("api", "batch", "conversation", "principal", "profile", "request", "since")

    def __init__(self, profile: str, request: str, principal: str, api: str, since: float) -> None:
        self.profile = profile
        self.request = request
        self.principal = principal
        self.api = api
        self.since = since
        self.batch = False
        self.conversation: Conversation | None = None


class QueuedTicket:
    """A place in line; see :class:`hostler.fleet.protocol.Ticket`. Refused or granted exactly once."""

    def __init__(self, fleet: FleetOwner, number: int, asked: Asked) -> None:
        self._fleet = fleet
        self._outcome: asyncio.Future[HeldLease] = asyncio.get_running_loop().create_future()
        self._taken = False
        self.number = number
        self.asked = asked
        self.place = 0

    async def wait(self) -> HeldLease:
        try:
            lease = await self._outcome
        except asyncio.CancelledError:
            self.leave()
            raise
        self._taken = True
        return lease

    def standing(self) -> Standing:
        return self._fleet.standing(self)

    def leave(self) -> None:
        if not self._outcome.done():
            self._outcome.cancel()
            self._fleet.leave(self)
        elif self._outcome.cancelled():
            self._fleet.leave(self)
        elif not self._taken and self._outcome.exception() is None:
            # Granted in the same turn of the loop in which the caller left: nobody will use it.
            self._outcome.result().end(499)

    def refusal(self) -> BaseException | None:
        """The error it was refused with, if it was."""
        done = self._outcome.done() and not self._outcome.cancelled()
        return self._outcome.exception() if done else None

    def grant(self, lease: HeldLease) -> None:
        """Hand out the lease, or give it back when the caller has just left."""
        if self._outcome.done():
            lease.end(499)
        else:
            self._outcome.set_result(lease)

    def refuse(self, error: HostlerError) -> None:
        """Hand out the error."""
        if not self._outcome.done():
            self._outcome.set_exception(error)
            # A caller that left between the refusal and its turn must not cause a warning.
            self._outcome.exception()
