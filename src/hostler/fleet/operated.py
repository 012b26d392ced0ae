"""What operators do to the fleet: load, unload, switch, cancel; each is messages to its owner, and waiting."""

from __future__ import annotations

from collections.abc import Callable

import anyio

from hostler.errors import RequestCancelled
from hostler.fleet.leases import Asked, QueuedTicket
from hostler.fleet.scheduling import messages as m
from hostler.fleet.shown import Shown


class Operated(Shown):
    """The operators' side of a :class:`hostler.fleet.owner.FleetOwner`, which handles what is told."""

    _changed: anyio.Event
    _watchers: int

    def _tell(self, message: m.Message) -> None:
        raise NotImplementedError

    def _enter(self, asked: Asked, *, lease: bool, urgent: bool = False, mate: bool = False) -> QueuedTicket:
        raise NotImplementedError

    async def load(self, profile: str, *, urgent: bool = False) -> None:
        asked = Asked(profile, "", "", "", self._clock.monotonic())
        ticket = self._enter(asked, lease=False, urgent=urgent)
        await ticket.wait()

    async def unload(self, profile: str, *, now: bool = False) -> bool:
        targets = {i.id for i in self._state.instances.values() if i.profile == profile}
        for lease in [held for held in self._held.values() if now and held.profile == profile]:
            lease.cancel()
        self._tell(m.Unload(profile, now, "unloaded on request"))
        await self._until(lambda: not targets & self._state.instances.keys())
        return bool(targets)

    async def switch(self, profile: str, *, keep: bool = False) -> tuple[str, ...]:
        before = {i.id: i.profile for i in self._state.instances.values() if i.profile != profile}
        await self.load(profile, urgent=True)
        if not keep:
            self._tell(m.UnloadOthers(profile, f"switched to {profile!r}"))
            pinned = {i.id for i in self._state.instances.values() if i.pin}
            leaving = before.keys() - pinned
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
