"""Names that clients make up are nobody's: no row and no series of the metrics carries them."""

from __future__ import annotations

import pytest
from gateway_fakes import Gateway

from hostler.gateway.metrics.counting import Counting
from hostler.gateway.routes import INFERENCE

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages", "/v1/embeddings", "/api/chat"])
async def test_a_name_that_nobody_has_is_in_no_row(gateway: Gateway, path: str) -> None:
    assert path.encode() in INFERENCE
    counting = Counting()
    for number in range(3):
        answer = await gateway.ask({"model": f"made-up-{number}", "messages": [], "input": "x"}, path)
        assert answer.status == 404
    rows = gateway.recorder.rows
    assert [row.profile for row in rows] == [""] * 3
    for row in rows:
        counting.take(row)
    assert "made-up" not in "".join(counting.lines())
