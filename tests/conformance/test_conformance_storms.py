"""The whole product under a storm: fake engines, random hang-ups and cancels, crashes, reloads."""

from __future__ import annotations

from pathlib import Path

import pytest

from hostler.client.gateway import Client
from hostler.conformance.asks import Weather
from hostler.conformance.disturbing import Disturbances
from hostler.conformance.fakes import config, edited, subjects
from hostler.conformance.finding import Found, find
from hostler.conformance.own import OwnGateway, own_gateway
from hostler.conformance.report import StormReport
from hostler.conformance.run import Ground, blow, check_all

pytestmark = pytest.mark.anyio


async def _found(client: Client) -> Found:
    return await find(client, "", tuple(each.name for each in subjects()))


async def _storm(found: Found, requests: int, seed: int, trouble: Disturbances | None = None) -> StormReport:
    weather = Weather(subjects=found.subjects, seed=seed, clients=8, requests=requests, cancels=0.25, tokens=12)
    report, entries = await blow(
        found, weather, Ground(patience_s=60, disturbances=trouble, exact=True), lambda _: None
    )
    assert len(entries) == requests == sum(report.fates.values())
    return report


def _clean(own: OwnGateway) -> None:
    assert own.ended == 0
    assert own.left == ()


async def test_the_api_keeps_its_promises(tmp_path: Path) -> None:
    async with own_gateway(tmp_path / "own", config(tmp_path)) as own, Client(own.url, "") as client:
        checks = await check_all(await _found(client), lambda _: None)
    assert [f"{each.name}: {each.told}" for each in checks if each.outcome == "failed"] == []
    assert {each.name for each in checks if each.outcome == "skipped"} <= {"wrong-key"}
    _clean(own)


async def test_a_storm_with_room_for_half_of_the_profiles(tmp_path: Path) -> None:
    async with own_gateway(tmp_path / "own", config(tmp_path)) as own, Client(own.url, "") as client:
        report = await _storm(await _found(client), requests=100, seed=20)
    assert report.violations == ()
    assert report.fates["answered"] > 60
    assert report.fates["left"] > 10
    assert report.seen is not None
    assert report.seen.swaps > 0
    assert report.seen.missed_events == 0
    assert report.notes == ()
    _clean(own)


async def test_a_storm_with_crashes_and_reloads(tmp_path: Path) -> None:
    async with own_gateway(tmp_path / "own", config(tmp_path)) as own, Client(own.url, "") as client:
        trouble = Disturbances(seed=3, crash_s=1.0, reload_s=1.5, edit=lambda: edited(own.home))
        report = await _storm(await _found(client), requests=90, seed=21, trouble=trouble)
    assert report.violations == ()
    assert report.seen is not None
    assert report.seen.kills > 0
    assert report.seen.reloads > 0
    _clean(own)
