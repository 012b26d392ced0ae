"""What operators do to the fleet: load, unload, switch, cancel; each is messages to its owner, and waiting."""

from __future__ import annotations

import secrets
from abc import abstractmethod
from collections.abc import Callable

import anyio

from hostler.errors import NotFound, RequestCancelled
from hostler.fleet.leases import Asked, QueuedTicket
from hostler.fleet.scheduling import messages as m
from hostler.fleet.scheduling.turn import spared, stays
from hostler.fleet.shown import Shown


class Operated(Shown):
    """The operators' side of a :class:`hostler.fleet.owner.FleetOwner`, which handles what is told."""

    _changed: anyio.Event
    _watchers: int

    @abstractmethod
    def _tell(self, message: m.Message) -> None: ...

    @abstractmethod
    def _enter(self, asked: Asked, *, lease: bool, urgent: bool = False, mate: bool = False) -> QueuedTicket: ...

    async def load(self, profile: str, *, urgent: bool = False) -> None:
        asked = Asked(profile, "", "", "", self._clock.monotonic())
        ticket = self._enter(asked, lease=False, urgent=urgent)
        await ticket.wait()

    async def hold(self, profile: str, seconds: float, hold: str | None = None) -> str:
        name = hold or f"hold-{secrets.token_hex(4)}"
        known = self._state.holds.get(name)
        if hold is not None and (known is None or known.profile != profile):
            raise NotFound(
                f"There is no hold {hold} of {profile!r}; it may be over.", hint="Ask for a new one: leave out `id`."
            )
        self._tell(m.Hold(name, profile, self._clock.monotonic() + seconds))
        try:
            await self.load(profile)
            if name in self._state.holds:  # no unload came between: its time begins when it is ready
                self._tell(m.Hold(name, profile, self._clock.monotonic() + seconds))
        except BaseException:
            if hold is None:
                self._tell(m.Unhold(name))
            raise
        return name

    async def end_hold(self, hold: str) -> str:
        known = self._state.holds.get(hold)
        if known is None:
            raise NotFound(f"There is no hold {hold}; it may be over.")
        self._tell(m.Unhold(hold))
        leaving = {i.id for i in self._state.instances.values() if i.profile == known.profile and not stays(i)}
        await self._until(lambda: not leaving & self._state.instances.keys())
        return known.profile

    def pin(self, profile: str, pin: bool) -> None:
        self._tell(m.Pin(profile, pin))

    def stay(self, profile: str, seconds: float | None) -> None:
        """Have the instance of ``profile`` leave after so many idle seconds, if its TTL does not end sooner; None: with
        that alone. Nothing happens where none is loaded, and the next one starts without."""
        self._tell(m.Stay(profile, seconds))

    async def unload(self, profile: str, *, now: bool = False) -> bool:
        targets = {i.id for i in self._state.instances.values() if i.profile == profile}
        for lease in [each for each in self._held.values() if now and each.profile == profile]:
            lease.cancel()
        self._tell(m.Unload(profile, now, "unloaded on request"))
        await self._until(lambda: not targets & self._state.instances.keys())
        return bool(targets)

    async def switch(self, profile: str, *, keep: bool = False) -> tuple[str, ...]:
        before = {i.id: i.profile for i in self._state.instances.values() if i.profile != profile}
        await self.load(profile, urgent=True)
        if not keep:
            self._tell(m.UnloadOthers(profile, f"switched to {profile!r}"))
            leaving = before.keys() - {i.id for i in self._state.instances.values() if spared(self._state, i)}
            await self._until(lambda: not leaving & self._state.instances.keys())
        gone = [p for i, p in before.items() if i not in self._state.instances]
        return tuple(dict.fromkeys(gone))

    async def _until(self, condition: Callable[[], bool]) -> None:
        self._watchers += 1
        try:
            while not condition():
                await self._changed.wait()
        finally:
            self._watchers -= 1

    def cancel(self, request: str) -> bool:
        for ticket in list(self._tickets.values()):
            if ticket.asked.request == request and ticket.asked.api:
                self._tell(m.Leave(ticket.number))
                ticket.refuse(RequestCancelled("An operator cancelled this request."))
                return True
        if lease := self._held.get(request):
            lease.cancel()
            return True
        return False
