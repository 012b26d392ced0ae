"""``python -m hostler.bench.proof``: the fleet's promises, measured; each part can be run alone and shortened.

storm   requests of 32 clients to four profiles with room for two, a fifth of them left early
soak    switches: growth of the gateway, what it leaves open or running
kills   engines killed at random moments: what became of every request, how soon it goes on
stop    SIGTERM while streams run and others wait
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import secrets
import tempfile
import time
from pathlib import Path
from typing import Final

import msgspec

from hostler.bench.machine import system
from hostler.bench.proof import kills, soak, stop, storm
from hostler.bench.proof.page import Proof, Run, section
from hostler.bench.proof.telling import Teller
from hostler.bench.sections import replaced

PARTS: Final = ("storm", "soak", "kills", "stop")


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """How long each part is."""

    parts: tuple[str, ...]
    models: Path
    requests: int
    switches: int
    kills: int
    stops: int
    seed: int


async def measured(wanted: Wanted, before: Proof) -> Proof:
    """``before`` with the parts that were asked for measured anew."""
    tell, proof = Teller(), before
    for part in wanted.parts:
        with tempfile.TemporaryDirectory(prefix="hostler-proof-") as name:
            found = await _part(part, Path(name), wanted, tell)
        runs = {**proof.runs, part: _run(part, wanted)}
        proof = msgspec.structs.replace(
            proof, **{part: found}, runs={each: runs[each] for each in PARTS if each in runs}
        )
        print(section(msgspec.structs.replace(Proof(), **{part: found})))
    return proof


async def _part(part: str, folder: Path, wanted: Wanted, tell: Teller) -> object:
    match part:
        case "storm":
            return await storm.run(folder, wanted.models, wanted.requests, wanted.seed, tell)
        case "soak":
            return await soak.run(folder, wanted.models, wanted.switches, tell)
        case "kills":
            return await kills.run(folder, wanted.models, wanted.kills, wanted.seed, tell)
        case _:
            return await stop.run(folder, wanted.stops, tell)


def _run(part: str, wanted: Wanted) -> Run:
    commands = {
        "storm": f"make proof PARTS=storm REQUESTS={wanted.requests}",
        "soak": f"make soak SOAK={wanted.switches}",
        "kills": f"make proof PARTS=kills KILLS={wanted.kills}",
        "stop": f"make proof PARTS=stop STOPS={wanted.stops}",
    }
    return Run(
        at=time.time(),
        machine=system(),
        python=platform.python_version(),
        command=commands[part],
        load=os.getloadavg()[1],
    )


def main() -> None:
    """Read the command line, run, print, and write where asked."""
    parser = argparse.ArgumentParser(
        prog="python -m hostler.bench.proof", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("parts", nargs="*", choices=PARTS, default=list(PARTS), metavar="PART")
    parser.add_argument("--models", type=Path, default=Path(".make/models"), help="where the starter models are")
    parser.add_argument("--requests", type=int, default=5000)
    parser.add_argument("--switches", type=int, default=2000)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--stops", type=int, default=5)
    parser.add_argument("--seed", type=int, help="draws the same requests and kills again")
    parser.add_argument("--data", type=Path, help="renew these parts in that file (JSON)")
    parser.add_argument("--page", type=Path, help="renew the section of this page")
    told = parser.parse_args()
    seed = secrets.randbits(32) if told.seed is None else told.seed
    print(f"seed {seed}")
    wanted = Wanted(
        parts=tuple(told.parts), models=told.models.absolute(), requests=told.requests, switches=told.switches,
        kills=told.kills, stops=told.stops, seed=seed,
    )  # fmt: skip
    proof = asyncio.run(measured(wanted, _known(told.data)))
    if told.data is not None:
        told.data.parent.mkdir(parents=True, exist_ok=True)
        told.data.write_bytes(msgspec.json.format(msgspec.json.encode(proof)) + b"\n")
    if told.page is not None:
        told.page.write_text(replaced(told.page.read_text("utf-8"), "proof", section(proof)), "utf-8")


def _known(data: Path | None) -> Proof:
    """What was measured before; nothing where that is of another shape."""
    try:
        return Proof() if data is None else msgspec.json.decode(data.read_bytes(), type=Proof)
    except (OSError, msgspec.DecodeError):
        return Proof()


if __name__ == "__main__":
    main()
