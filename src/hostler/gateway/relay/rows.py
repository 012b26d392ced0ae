"""The ledger's row of a request, as the relay knows it at its end."""

from __future__ import annotations

import msgspec

from hostler.clock import Clock
from hostler.fleet.protocol import Lease
from hostler.gateway.answering.tail import Tokens
from hostler.wire.management import RequestRecord


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """One request as it ended. ``started`` and ``first`` (its first byte, if one came) are monotonic seconds.

    ``streamed``: its tokens came one by one.
    """

    request: str
    principal: str
    profile: str
    api: str
    status: int
    lease: Lease | None
    tokens: Tokens
    started: float
    first: float | None
    streamed: bool
    cancelled: bool

    def row(self, clock: Clock) -> RequestRecord:
        """What the ledger keeps of it, which ends now."""
        now = clock.monotonic()
        total = now - self.started
        lease, tokens = self.lease, self.tokens
        return RequestRecord(
            id=self.request,
            at=clock.wall() - total,
            principal=self.principal,
            profile=self.profile,
            api=self.api,
            status=self.status,
            tokens_in=tokens.prompt,
            tokens_cached=tokens.cached,
            tokens_out=tokens.generated,
            queue_ms=total * 1e3 if lease is None else lease.queue_ms,
            load_ms=0.0 if lease is None else lease.load_ms,
            first_byte_ms=None if self.first is None else (self.first - self.started) * 1e3,
            prompt_ms=None if tokens.timing is None else tokens.timing.prompt_ms,
            generated_ms=self._generated_ms(now),
            total_ms=total * 1e3,
            cancelled=self.cancelled,
        )

    def _generated_ms(self, now: float) -> float | None:
        """From the first token to the last, as the engine says; else of a stream that told how many there were."""
        if self.tokens.timing is not None:
            return self.tokens.timing.generated_ms
        if self.first is None or not self.streamed or self.tokens.generated is None:
            return None
        return (now - self.first) * 1e3
