"""A server that is no gateway of ours, well-behaved and not."""

from __future__ import annotations

import json

import pytest

from hostler.client.gateway import Client
from hostler.conformance.asks import Subject, Weather
from hostler.conformance.finding import Found, find
from hostler.conformance.report import StormReport
from hostler.conformance.run import Ground, blow, check_all
from hostler.errors import NoGateway
from hostler.testing.launch import Running

pytestmark = pytest.mark.anyio


async def _found(engine: Running, *names: str) -> Found:
    async with Client(f"http://{engine.host}:{engine.port}", engine.key) as client:
        return await find(client, engine.key, names)


async def _storm(engine: Running, requests: int = 20) -> StormReport:
    found = await _found(engine, "fake")
    weather = Weather(subjects=found.subjects, seed=5, clients=4, requests=requests, cancels=0.0, operator=False)
    report, _ = await blow(found, weather, Ground(patience_s=3.0), lambda _: None)
    return report


async def test_an_engine_alone_can_be_tried(fake_engine) -> None:
    engine = await fake_engine("--alias", "alone")
    found = await _found(engine)
    assert (found.client, found.subjects) == (None, (Subject("alone"),))
    checks = {each.name: each for each in await check_all(found, lambda _: None)}
    assert checks["stream"].outcome == "ok", checks["stream"].told
    assert checks["answer"].told == "8 tokens"
    assert checks["wrong-key"].outcome == "ok"
    assert {checks[name].outcome for name in ("health", "request-id", "events", "queue-headers")} == {"skipped"}
    # What the gateway corrects: any name is answered, a broken body is a server's error.
    assert checks["unknown-model"].outcome == "failed"


async def test_a_storm_over_an_engine_alone(fake_engine) -> None:
    report = await _storm(await fake_engine("-np", "4"))
    assert report.violations == ()
    assert report.fates["answered"] == 20
    assert report.seen is None
    assert "were not seen" in report.notes[0]


@pytest.mark.parametrize(
    ("switches", "why"),
    [
        ({"hang_after": 2}, "no end within 3 s"),
        ({"garbage_head": True}, "no HTTP"),
        ({"error": 503}, "without Retry-After"),
    ],
)
async def test_what_an_engine_breaks_is_found(fake_engine, switches: dict[str, object], why: str) -> None:
    report = await _storm(await fake_engine("-np", "8", **switches), requests=4)
    broken = [each for each in report.violations if why in each.what]
    assert broken, json.dumps([each.what for each in report.violations])


async def test_what_speaks_no_http_is_no_server(fake_engine) -> None:
    with pytest.raises(NoGateway, match="speaks no HTTP"):
        await _found(await fake_engine(garbage_head=True))


async def test_nobody_there() -> None:
    async with Client("http://127.0.0.1:1") as client:
        with pytest.raises(NoGateway):
            await find(client, "", ())
