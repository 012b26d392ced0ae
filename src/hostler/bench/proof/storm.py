"""5,000 requests of 32 clients to four profiles with room for two, a fifth of them left early."""

from __future__ import annotations

from pathlib import Path

from hostler.bench.proof.ground import config_for_two, found_at, subjects
from hostler.bench.proof.telling import Teller
from hostler.client.gateway import Client
from hostler.conformance.asks import Weather
from hostler.conformance.own import own_gateway
from hostler.conformance.report import StormReport
from hostler.conformance.run import Ground, blow

CLIENTS = 32
CANCELS = 0.2
TOKENS = 6
WORDS = 8
PATIENCE_S = 300.0


async def run(folder: Path, models: Path, requests: int, seed: int, tell: Teller) -> StormReport:
    """In a gateway of its own in ``folder``."""
    config = await config_for_two(folder, models)
    home = folder / "storm"
    async with own_gateway(home, config) as own, Client(own.url, "") as client:
        found = await found_at(client, subjects())
        weather = Weather(
            subjects=found.subjects,
            seed=seed,
            clients=CLIENTS,
            requests=requests,
            cancels=CANCELS,
            tokens=TOKENS,
            words=WORDS,
        )
        count = tell.counter("storm", requests)
        report, _ = await blow(found, weather, Ground(patience_s=PATIENCE_S, exact=True), lambda _: count())
    return report
