"""What the management API works with, handed in by the composition root; it owns none of it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from hostler.accounts.audit import Audit
from hostler.accounts.keys import Keyring, Principal
from hostler.events import Bus
from hostler.fleet.protocol import Catalogue, Fleet
from hostler.gateway.door.cors import Origins
from hostler.gateway.door.guard import NO_ORIGINS
from hostler.hardware.facts import Machine
from hostler.wire.caching import CacheCleared, CacheSettings, CacheStatus
from hostler.wire.hardware import Metrics
from hostler.wire.loading import LoadComparison, LoadModeStatus
from hostler.wire.management import ConfigValue, GatewayStatus, Reloaded, RequestRecord
from hostler.wire.plan import PlanReport
from hostler.wire.usage import By, Usage
from hostler.wire.warming import WarmBenchmark, WarmUp


class History(Protocol):
    """Finished requests; :class:`hostler.ledger.queries.Queries` is one."""

    async def recent(
        self, limit: int = 50, profile: str | None = None, until: float | None = None
    ) -> tuple[RequestRecord, ...]:
        """The newest ``limit`` ones (of ``profile``, that came before ``until``), newest first."""
        ...

    async def usage(self, by: By, since: float | None = None, until: float | None = None) -> Usage:
        """What was used, added up."""
        ...

    def export(
        self, since: float | None = None, until: float | None = None
    ) -> AsyncGenerator[list[RequestRecord], None]:
        """All of them, page by page, in the order of their end."""
        ...


class LogReader(Protocol):
    """Reads log files, rotated ones too."""

    async def tail(self, path: Path, lines: int) -> list[str]:
        """The last ``lines`` lines without their ends; empty when there is no file yet."""
        ...

    def follow(self, path: Path, lines: int) -> AsyncGenerator[str, None]:
        """The last ``lines`` lines, then new ones as they are written, until the iterator is closed."""
        ...


class HardwareReader(Protocol):
    """This machine and its telemetry; :class:`hostler.hardware.sampler.Telemetry` is one."""

    async def machine(self) -> Machine:
        """The devices now."""
        ...

    def metrics(self, device: str | None = None, seconds: float = 900) -> Metrics:
        """Readings of the last ``seconds``, of ``device`` or of all."""
        ...

    def knows(self, device: str) -> bool:
        """Whether there is, or was, a device of that id."""
        ...


class PromptKeeper(Protocol):
    """Saved prompts; :class:`hostler.fleet.prompts.keeper.Keeper` is one."""

    async def status(self) -> CacheStatus:
        """What is kept, and what it brought."""
        ...

    async def settings(self) -> CacheSettings:
        """What is in force."""
        ...

    async def clear(self, profile: str | None = None) -> CacheCleared:
        """Remove all, or what the profile of that name saved."""
        ...


class Warmer(Protocol):
    """Warm-ups; :class:`hostler.warming.Warming` is one. All take a profile's own name."""

    def status(self) -> tuple[WarmUp, ...]:
        """The latest of each profile."""
        ...

    def begin(self, profile: str) -> WarmUp:
        """In the background."""
        ...

    async def warm(self, profile: str) -> WarmUp:
        """Until it has generated; raises why it cannot."""
        ...

    async def benchmark(self, profile: str) -> WarmBenchmark:
        """A cold load and a warm one."""
        ...


class LoadComparer(Protocol):
    """Load modes compared; :class:`hostler.fleet.learning.loadtrials.LoadTrials` is one. All take a profile's own
    name."""

    def status(self) -> LoadModeStatus:
        """What was chosen, and the latest of each profile."""
        ...

    def begin(self, profile: str) -> LoadComparison:
        """In the background."""
        ...

    async def compare(self, profile: str) -> LoadComparison:
        """Until it is done; raises why it cannot be."""
        ...


class Closing(Protocol):
    """An event that is set when the gateway stops; ``anyio.Event`` is one."""

    def is_set(self) -> bool: ...

    async def wait(self) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Services:
    """The collaborators.

    ``authenticate`` takes headers (names in lower case) and raises Unauthorized. ``log_file`` takes a
    profile, or None for Hostler's own log. ``plan`` takes a profile's own name.
    ``closing`` ends every event stream and followed log, so that draining can finish.
    """

    fleet: Fleet
    catalogue: Catalogue
    bus: Bus
    history: History
    hardware: HardwareReader
    prompts: PromptKeeper
    warming: Warmer
    load_modes: LoadComparer
    logs: LogReader
    closing: Closing
    keys: Keyring
    authenticate: Callable[[Mapping[bytes, bytes]], Principal]
    status: Callable[[], GatewayStatus]
    reload: Callable[[], Awaitable[Reloaded]]
    plan: Callable[[str], Awaitable[PlanReport]]
    config: Callable[[], list[ConfigValue]]
    log_file: Callable[[str | None], Path]
    heartbeat_s: float = 15.0
    origins: Origins = NO_ORIGINS
    audit: Audit | None = None
