"""What the ledger keeps of a request's times."""

from __future__ import annotations

import msgspec
import pytest

from hostler.clock import ManualClock
from hostler.fleet.protocol import Timing
from hostler.gateway.answering.tail import NO_TOKENS, Tokens
from hostler.gateway.relay.rows import Account

TOLD = Tokens(12, 5, 3, 200.0, Timing(5, 7, 1.5, 3, 10.0))


@pytest.mark.parametrize(
    ("tokens", "streamed", "times"),
    [
        (TOLD, True, (1.5, 10.0)),
        (TOLD, False, (1.5, 10.0)),
        (Tokens(12, 5, 3), True, (None, 500.0)),
        (Tokens(12, 5, 3), False, (None, None)),
        (NO_TOKENS, True, (None, None)),
    ],
)
def test_the_engines_times_count_else_those_of_a_stream(
    tokens: Tokens, streamed: bool, times: tuple[float | None, float | None]
) -> None:
    clock = ManualClock()
    clock.advance(2.0)
    account = Account(
        request="req-1", principal="local", profile="coder", api="chat", status=200, lease=None, tokens=tokens,
        started=clock.monotonic() - 1.5, first=clock.monotonic() - 0.5, streamed=streamed, cancelled=False,
    )  # fmt: skip
    row = account.row(clock)
    assert (row.prompt_ms, row.generated_ms) == times
    assert (row.first_byte_ms, row.total_ms) == (1000.0, 1500.0)
    assert msgspec.structs.replace(account, first=None).row(clock).first_byte_ms is None
