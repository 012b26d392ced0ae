"""``python -m hostler.bench.gateway``: what the gateway costs, against the same engine asked directly.

Direct, through the gateway, direct again: one round. A round whose two direct figures differ by more than
15% says more of the machine than of the gateway and is repeated. The figures are medians over at least
seven rounds, with their range; every answer is checked. At the end, how soon single requests are refused.
"""

from __future__ import annotations

import argparse
import asyncio
import platform
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

import msgspec

from hostler.bench.load import Shape, Target, measure
from hostler.bench.report import Figure, Report, Spread, write
from hostler.bench.single import SINGLES, fill, quick
from hostler.bench.subjects import MODEL, Gateway, direct, gateway, usage_of

SHAPES: Final = (
    Shape(name="non-stream, 1 client", clients=1, requests=1500, tokens=16, stream=False),
    Shape(name="non-stream, 16 clients", clients=16, requests=250, tokens=16, stream=False),
    Shape(name="unpaced stream of 500 chunks, 8 clients", clients=8, requests=10, tokens=500, stream=True),
    Shape(name="paced stream 200 x 5 ms, 64 clients", clients=64, requests=1, tokens=200, stream=True, rate=200.0),
)
TOLERANCE: Final = 0.15


class Round(msgspec.Struct, frozen=True):
    """Seconds: direct before, through the gateway, direct after; CPU seconds of the gateway meanwhile."""

    before: float
    through: float
    after: float
    cpu_s: float

    @property
    def direct(self) -> float:
        return (self.before + self.after) / 2

    @property
    def steady(self) -> bool:
        return abs(self.before - self.after) <= TOLERANCE * min(self.before, self.after)


async def one_round(engine: Target, ours: Gateway, shape: Shape) -> Round:
    """Direct, ours, direct."""
    before = await measure(engine, shape, MODEL)
    used = usage_of(ours.pid).cpu_s
    through = await measure(ours.target, shape, MODEL)
    cpu_s = usage_of(ours.pid).cpu_s - used
    return Round(before, through, await measure(engine, shape, MODEL), cpu_s)


async def figure(engine: Target, ours: Gateway, shape: Shape, rounds: int) -> Figure:
    """Rounds until ``rounds`` are steady; after three times as many, the unsteady ones count as well."""
    await one_round(engine, ours, msgspec.structs.replace(shape, requests=max(1, shape.requests // 10)))
    steady: list[Round] = []
    unsteady: list[Round] = []
    while len(steady) < rounds and len(steady) + len(unsteady) < 3 * rounds:
        result = await one_round(engine, ours, shape)
        (steady if result.steady else unsteady).append(result)
        print(f"  {shape.name}: {result.direct / result.through:.3f} of direct{'' if result.steady else ' (unsteady)'}")
    kept = (steady + unsteady)[:rounds]
    count = shape.chunks or shape.answers
    return Figure(
        name=shape.name,
        unit="chunk" if shape.stream else "request",
        direct_per_s=Spread.of([count / one.direct for one in kept]),
        per_s=Spread.of([count / one.through for one in kept]),
        ratio=Spread.of([one.direct / one.through for one in kept]),
        cpu_us=Spread.of([one.cpu_s / count * 1e6 for one in kept]),
        rounds=len(kept),
        repeated=len(unsteady),
    )


async def run(rounds: int, scale: float, command: str) -> Report:
    """Measure everything in a folder of its own."""
    with tempfile.TemporaryDirectory(prefix="hostler-bench-") as name:
        folder = Path(name)
        async with direct(folder) as engine, gateway(folder) as ours:
            print(f"first request accepted {ours.accepted_s:.2f} s after `hostler up`")
            rss_before = usage_of(ours.pid).resident
            shapes = [
                msgspec.structs.replace(shape, requests=max(1, round(shape.requests * scale))) for shape in SHAPES
            ]
            figures = [await figure(engine, ours, shape, rounds) for shape in shapes]
            rss_after = usage_of(ours.pid).resident
            await fill(ours.target)
            return Report(
                at=time.time(),
                machine=machine(),
                python=platform.python_version(),
                command=command,
                accepted_s=ours.accepted_s,
                rss_before_mib=rss_before / 2**20,
                rss_after_mib=rss_after / 2**20,
                figures=tuple(figures),
                singles=tuple([await quick(ours.target, single) for single in SINGLES]),
            )


def machine() -> str:
    """The processor, its cores, the system; nothing that names the machine."""
    import psutil

    name = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    return f"{name}, {psutil.cpu_count()} CPUs, {platform.system()} {platform.release()}"


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m hostler.bench.gateway", description=__doc__)
    parser.add_argument("--rounds", type=int, default=7, help="steady rounds of each load (default 7)")
    parser.add_argument("--scale", type=float, default=1.0, help="multiply the number of requests")
    parser.add_argument("--data", type=Path, default=Path("benchmarks/results/gateway.json"))
    parser.add_argument("--page", type=Path, default=Path("docs/benchmarks/gateway.md"))
    parser.add_argument("--dry", action="store_true", help="write no files")
    options = parser.parse_args(argv)
    command = " ".join(["python -m hostler.bench.gateway", *argv])
    try:
        import uvloop

        report = uvloop.run(run(options.rounds, options.scale, command))
    except ImportError:
        report = asyncio.run(run(options.rounds, options.scale, command))
    write(report, None if options.dry else options.data, None if options.dry else options.page)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
