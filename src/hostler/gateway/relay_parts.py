"""What the relay works with: its collaborators and its bounds."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Protocol

import msgspec

from hostler.clock import Clock
from hostler.fleet.protocol import Catalogue, Fleet, Served
from hostler.gateway.peek import Defaults, Peek
from hostler.gateway.upstream import Pool
from hostler.wire.management import RequestRecord


class Recorder(Protocol):
    """Takes ledger rows; never blocks."""

    def record(self, row: RequestRecord) -> None: ...


class RelayLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds on waiting, in seconds; None is unbounded."""

    load_grace_s: float = 2.0
    queue_timeout_s: float | None = None


class Relay(msgspec.Struct, frozen=True, kw_only=True):
    """What every exchange works with. ``defaults`` belongs to the relay: sampling defaults by profile."""

    fleet: Fleet
    catalogue: Catalogue
    pool: Pool
    recorder: Recorder
    clock: Clock
    limits: RelayLimits
    draining: Callable[[], bool]
    spawn: Callable[[Coroutine[object, object, None], Callable[[], None]], asyncio.Task[None]]
    closed: Callable[[str], None]
    defaults: dict[str, Defaults]

    def with_defaults(self, served: Served, body: bytes, asked: Peek) -> bytes:
        """``body`` with the profile's sampling defaults that the client left out."""
        known = self.defaults.get(served.name)
        if known is None or known.sampling is not served.sampling:
            known = self.defaults[served.name] = Defaults(served.sampling)
        return known.splice(body, asked)
