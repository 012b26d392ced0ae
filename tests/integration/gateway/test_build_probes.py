"""Engines are asked which defects they have: one that has none, the fake as it is, and the embedded build."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from itertools import groupby
from pathlib import Path

import anyio
import msgspec
import pytest

from hostler.engines.protocol import Endpoint, LoadSpec
from hostler.engines.talking.exchange import ask
from hostler.fleet.learning.defects import Defect, verdict
from hostler.gateway.answering.repairs.known import probes_of
from hostler.testing.launch import Running
from hostler.testing.specs import SPEC

pytestmark = pytest.mark.anyio

CHAT = msgspec.structs.replace(SPEC, context=512)
VECTORS = msgspec.structs.replace(CHAT, task="embedding")


async def told(engine: Running, spec: LoadSpec) -> dict[Defect, bool | None]:
    """What the engine's answers come to."""
    at, found = Endpoint("127.0.0.1", engine.port, engine.key), dict[Defect, bool | None]()
    with anyio.fail_after(60):
        for defect, probes in groupby(probes_of(spec), lambda probe: probe.defect):
            answers = [(probe, await ask(at, "POST", probe.path, probe.body)) for probe in probes]
            found[defect] = verdict([probe.judge(answer.status, answer.body) for probe, answer in answers])
    return found


async def test_an_engine_without_defects_is_seen_to_have_none(fake_engine: Callable[..., Awaitable[Running]]) -> None:
    engine = await fake_engine("--embeddings", "-c", "512", sound=True)
    found = await told(engine, msgspec.structs.replace(CHAT, embeddings=True))
    assert len(found) == 10
    assert set(found.values()) == {True}


async def test_an_engine_that_loses_first_events_is_seen_to(fake_engine: Callable[..., Awaitable[Running]]) -> None:
    engine = await fake_engine("-c", "512", lost_first_event=True)
    found = await told(engine, CHAT)
    assert [found["lost_role"], found["lost_message_start"]] == [False, False]
    assert [found["unnumbered_events"], found["bare_responses"], found["foreign_errors"]] == [False] * 3


async def test_the_embedded_build_has_the_defects_that_are_put_right(
    real_engine: Callable[..., Awaitable[Running]], smollm2: Path
) -> None:
    chat = await real_engine("-m", str(smollm2), "-c", "512", "-np", "1", "-t", "1", "--jinja")
    found = await told(chat, CHAT)
    # Whether a message begins with a part of a character is the model's choice.
    assert found.pop("lost_message_start") is not True
    assert found == dict.fromkeys(found, False)
    vectors = await real_engine(
        "-m", str(smollm2), "-c", "512", "-np", "1", "-t", "1", "--embeddings", "--pooling", "mean"
    )
    assert await told(vectors, VECTORS) == {"misplaced_blame_of_vectors": False, "ignored_dimensions": False}
