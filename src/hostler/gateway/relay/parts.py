"""What the relay works with: its collaborators and its bounds."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Final, Protocol

import msgspec

from hostler.clock import Clock
from hostler.errors import HostlerError
from hostler.fleet.protocol import Catalogue, Fleet, Lease
from hostler.gateway.answering.discreet import plain_error
from hostler.gateway.answering.tail import Tokens
from hostler.gateway.asking.elsewhere import Pictures
from hostler.gateway.asking.prepared import Preparing
from hostler.gateway.relay.upstream import Pool
from hostler.ledger.captures import Captures
from hostler.wire.management import RequestRecord

ENOUGH_TOKENS: Final = 8  # a speed over fewer says little


class Recorder(Protocol):
    """Takes ledger rows; never blocks."""

    def record(self, row: RequestRecord) -> None: ...


class RelayLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds on waiting, in seconds; None is unbounded."""

    load_grace_s: float = 2.0
    queue_timeout_s: float | None = None


class Relay(msgspec.Struct, frozen=True, kw_only=True):
    """What every exchange works with."""

    fleet: Fleet
    catalogue: Catalogue
    pool: Pool
    recorder: Recorder
    clock: Clock
    limits: RelayLimits
    draining: Callable[[], bool]
    spawn: Callable[[Coroutine[object, object, None], Callable[[], None]], asyncio.Task[None]]
    closed: Callable[[str], None]
    preparing: Preparing
    pictures: Pictures
    captures: Captures | None = None
    #: Has a profile stay for so many idle seconds, as far as the operator allows.
    stay: Callable[[str, float], None] = lambda _profile, _seconds: None
    #: Whether those who ask may only use models: then errors name neither folders nor engines' addresses.
    discreet: bool = False

    def told(self, error: HostlerError) -> HostlerError:
        """``error`` as those who ask hear it."""
        return plain_error(error) if self.discreet else error


def tell_tokens(lease: Lease, tokens: Tokens) -> None:
    """What the engine said of a request's tokens, for the fleet."""
    if (told := tokens.told) is not None:
        lease.timed(told)
    if tokens.per_second is not None and (tokens.generated or 0) >= ENOUGH_TOKENS:
        lease.measured(tokens.per_second, tokens.timing)
