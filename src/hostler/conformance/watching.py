"""Follows a gateway while the storm lasts, and tells the witness."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from hostler.client.gateway import Client
from hostler.conformance.witness import Witness
from hostler.errors import HostlerError
from hostler.events import Gap, InstanceChanged

LOOK_S: Final = 0.25
#: At most so often, however much changes.
PAUSE_S: Final = 0.05


class Watcher:
    """Reads events as they come, and looks at instances and memory at every change of an instance and in between."""

    def __init__(self, client: Client, witness: Witness) -> None:
        self._client = client
        self._witness = witness
        self._changed = asyncio.Event()
        self._seen = asyncio.Event()
        self.lost = ""

    async def follow(self, after: int) -> None:
        """Until cancelled; a gateway that is lost ends it, and :attr:`lost` says how."""
        try:
            async for event in self._client.events(after):
                self._witness.event(event)
                if isinstance(event, (InstanceChanged, Gap)):
                    self._changed.set()
                self._seen.set()
        except HostlerError as error:
            self.lost = str(error)

    async def look(self) -> None:
        """Until cancelled."""
        while not self.lost:
            try:
                status, instances = await self._client.status(), await self._client.instances()
            except HostlerError as error:
                self.lost = str(error)
                return
            self._witness.look(instances, status.memory)
            self._changed.clear()
            await asyncio.sleep(PAUSE_S)
            try:
                async with asyncio.timeout(LOOK_S):
                    await self._changed.wait()
            except TimeoutError:
                continue

    async def caught_up(self, within_s: float = 10.0) -> bool:
        """Wait until every event that there is by now was seen."""
        last = (await self._client.status()).last_event
        try:
            async with asyncio.timeout(within_s):
                while self._witness.last < last:
                    self._seen.clear()
                    await self._seen.wait()
        except TimeoutError:
            return False
        return True


@asynccontextmanager
async def watched(client: Client, witness: Witness, *, looking: bool = True) -> AsyncIterator[Watcher]:
    """The witness hears of everything from now until the block is left; ``looking`` at memory costs time."""
    watcher = Watcher(client, witness)
    after = (await client.status()).last_event
    witness.last = after
    tasks = [asyncio.create_task(watcher.follow(after))]
    tasks += [asyncio.create_task(watcher.look())] if looking else []
    try:
        yield watcher
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
