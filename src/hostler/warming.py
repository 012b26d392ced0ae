"""Warm-ups: a profile is loaded and made to generate before somebody waits for it; cold and warm loads compared."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import anyio
import anyio.abc
import anyio.to_thread

from hostler import log
from hostler.clock import Clock
from hostler.config.settings import Task
from hostler.engines.prefetch import forget
from hostler.engines.protocol import Endpoint
from hostler.errors import Conflict, Draining, HostlerError
from hostler.fleet.learning.loadtrials import Measuring
from hostler.fleet.protocol import Catalogue, Fleet
from hostler.wire.warming import LoadFigures, WarmBenchmark, WarmUp

Probe = Callable[[Endpoint, Task], Awaitable[float | None]]
Files = Callable[[str], Sequence[Path]]


class Warming:
    """Warms profiles by their own names. ``probe`` makes an engine work once; ``files`` are those of a profile's model,
    asked for in a thread. Loads within ``measuring`` a profile do nothing but load."""

    def __init__(
        self, fleet: Fleet, catalogue: Catalogue, clock: Clock, probe: Probe, files: Files, measuring: Measuring
    ) -> None:
        self._fleet = fleet
        self._catalogue = catalogue
        self._clock = clock
        self._probe = probe
        self._files = files
        self._measuring = measuring
        self._known: dict[str, WarmUp] = {}
        self._comparing = False
        self._tasks: anyio.abc.TaskGroup | None = None

    async def run(self) -> None:
        """Hold what was begun with :meth:`begin`, until cancelled."""
        async with anyio.create_task_group() as self._tasks:
            await anyio.sleep_forever()

    def status(self) -> tuple[WarmUp, ...]:
        """The latest warm-up of each profile, oldest first."""
        return tuple(self._known.values())

    def begin(self, profile: str) -> WarmUp:
        """Warm ``profile`` in the background; a warm-up that runs is joined. Raises Draining."""
        known = self._known.get(profile)
        if known is not None and known.state == "running":
            return known
        if self._tasks is None:
            raise Draining("The gateway stops.")
        begun = self._keep(WarmUp(profile=profile, state="running", at=self._clock.wall()))
        self._tasks.start_soon(self._behind, profile)
        return begun

    async def warm(self, profile: str) -> WarmUp:
        """Load ``profile`` if need be, and have it generate. Raises why it cannot be."""
        at = self._clock.wall()
        self._keep(WarmUp(profile=profile, state="running", at=at))
        try:
            resident = self._fleet.profile(profile).state == "ready"
            await self._fleet.load(profile)
            first_s, tokens_per_s = await self._generate(profile)
        except HostlerError as error:
            self._keep(WarmUp(profile=profile, state="failed", at=at, reason=error.message, code=error.code))
            raise
        except BaseException:
            self._keep(WarmUp(profile=profile, state="failed", at=at, reason="It was given up.", code="cancelled"))
            raise
        return self._keep(
            WarmUp(
                profile=profile,
                state="done",
                at=at,
                loaded=not resident,
                load_s=self._fleet.profile(profile).load_s,
                first_s=first_s,
                tokens_per_s=tokens_per_s,
            )
        )

    async def benchmark(self, profile: str) -> WarmBenchmark:
        """Unload and load ``profile`` twice: first with its files dropped from the page cache, then with them in it.

        It stays loaded. Running requests finish first; one comparison at a time. Raises Conflict, or why it cannot be
        loaded.
        """
        if self._comparing:
            raise Conflict("Another comparison runs.", hint="Try again when it is done.")
        self._comparing = True
        try:
            files = await anyio.to_thread.run_sync(self._files, profile)
            with self._measuring(profile):
                await self._fleet.unload(profile)
                dropped = await anyio.to_thread.run_sync(forget, files)
                cold = await self._measured(profile)
                await self._fleet.unload(profile)
                warm = await self._measured(profile)
            size = await anyio.to_thread.run_sync(lambda: sum(file.stat().st_size for file in files if file.exists()))
            return WarmBenchmark(profile=profile, bytes=size, dropped=dropped, cold=cold, warm=warm)
        finally:
            self._comparing = False

    async def _measured(self, profile: str) -> LoadFigures:
        began = self._clock.monotonic()
        await self._fleet.load(profile)
        load_s = self._clock.monotonic() - began
        first_s, tokens_per_s = await self._generate(profile)
        return LoadFigures(load_s=load_s, first_s=first_s, tokens_per_s=tokens_per_s)

    async def _generate(self, profile: str) -> tuple[float, float | None]:
        """Seconds for a few tokens, and how many a second; as a request of its own, in its turn."""
        ticket = self._fleet.ask(profile, f"warm-{secrets.token_hex(6)}", "", "warm-up")
        lease = await ticket.wait()
        status = 499
        try:
            began = self._clock.monotonic()
            tokens_per_s = await self._probe(lease.endpoint, self._catalogue.resolve(profile).task)
            status = 200
            return self._clock.monotonic() - began, tokens_per_s
        finally:
            lease.end(status)

    async def _behind(self, profile: str) -> None:
        try:
            await self.warm(profile)
        except HostlerError as error:
            log.warning("warm_up.failed", profile=profile, code=error.code, reason=error.message)
        except Exception as bug:  # noqa: BLE001 - nobody waits for it, and it must not end the gateway
            log.bug("warm_up.bug", bug, profile=profile)

    def _keep(self, told: WarmUp) -> WarmUp:
        self._known.pop(told.profile, None)
        self._known[told.profile] = told
        return told
