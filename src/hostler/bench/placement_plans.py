"""Plans for models whose right place is known, with the time each took: ``python -m hostler.bench.placement_plans``.

Writes its section of docs/benchmarks/placement.md (between its markers) and benchmarks/results/placement-plans.json.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Literal, NamedTuple

import msgspec

from hostler.bench.sections import replaced
from hostler.config.settings import CacheType, EngineSettings, Profile
from hostler.hardware import machines
from hostler.models.gguf import read_shape
from hostler.placement.layout import HOST, Layout
from hostler.placement.plan import Plan
from hostler.placement.planner import plan
from hostler.placement.wish import Site, rooms_of, wish_of
from hostler.testing.zoo import PUBLISHED

PAGE: Final = Path("docs/benchmarks/placement.md")
DATA: Final = Path("benchmarks/results/placement-plans.json")
ROUNDS: Final = 21
UBATCH: Final = 512
CHECKPOINTS: Final = 4


class Case(NamedTuple):
    model: str
    recipe: str
    machine: str
    context: int | Literal["max"]
    kv: CacheType = "q8_0"


CASES: Final = (
    Case("GLM-4.7-Flash", "Q4_K_M", "rtx4090-5070ti", 131072),
    Case("GLM-4.7-Flash", "Q8_0", "rtx4090-5070ti", 131072),
    Case("gpt-oss-120b", "MXFP4", "rtx4090-5070ti", 65536),
    Case("gpt-oss-120b", "MXFP4", "rtx4090-5070ti", 131072),
    Case("Qwen3-Next-80B-A3B", "Q5_K_M", "rtx4090-5070ti", 262144),
    Case("Qwen3.5-27B", "Q6_K", "rtx4090-5070ti", 262144),
    Case("Llama-3.1-8B", "Q8_0", "m2-16gb", 8192),
    Case("Qwen3.5-35B-A3B", "Q5_K_M", "m4-max-64gb", "max"),
    Case("gpt-oss-120b", "MXFP4", "dgx-spark", 131072),
    Case("gpt-oss-120b", "MXFP4", "h200", 131072),
)


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One plan. Bytes by device, tokens per second at an empty cache, milliseconds (median of the rounds)."""

    model: str
    machine: str
    context: int
    kv: str
    where: str
    bytes: dict[str, int]
    decode: float
    prefill: float
    milliseconds: float


def measure(cases: Sequence[Case] = CASES, rounds: int = ROUNDS) -> list[Row]:
    """A row for each case."""
    with tempfile.TemporaryDirectory() as folder:
        return [_row(case, Path(folder), rounds) for case in cases]


def _row(case: Case, folder: Path, rounds: int) -> Row:
    published = next(model for model in PUBLISHED if model.name == case.model)
    shape = read_shape([published.write(folder, case.recipe)])
    machine = machines.load(case.machine)
    site = Site(machine=machine, rooms=rooms_of(machine), usable=tuple(device.id for device in machine.gpus))
    profile = Profile(model=case.model, context=case.context, kv=case.kv, engine=EngineSettings(ubatch=UBATCH))
    wish = wish_of(profile, shape, task="chat", checkpoints=CHECKPOINTS)
    times = []
    for _ in range(rounds):
        begun = time.perf_counter()
        made = plan(shape, wish, site)
        times.append(time.perf_counter() - begun)
    return _told(case, made, statistics.median(times))


def _told(case: Case, made: Plan, seconds: float) -> Row:
    return Row(
        model=f"{case.model} {case.recipe}",
        machine=case.machine,
        context=made.run.context,
        kv=made.run.cache_k,
        where=where(made.layout),
        bytes={device: held.total for device, held in made.bytes.items()},
        decode=made.speeds[0].decode.value,
        prefill=made.speeds[0].prefill.value,
        milliseconds=1000 * seconds,
    )


def where(layout: Layout) -> str:
    """A layout in words: blocks by device, and how many of them have their experts on the host."""
    counts = {device: layout.layers.count(device) for device in dict.fromkeys(layout.layers)}
    told = ", ".join(f"{count} on {device}" for device, count in counts.items())
    away = sum(home != HOST and experts == HOST for home, experts in zip(layout.layers, layout.experts, strict=True))
    return told + (f"; experts of {away} on the host" if away else "")


def section(rows: Sequence[Row]) -> str:
    """The section as Markdown."""
    lines = [
        "| model | machine | context | blocks | GiB per device | decode | prefill | planning |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        held = ", ".join(f"{device} {size / 2**30:.1f}" for device, size in row.bytes.items())
        lines.append(
            f"| {row.model} | {row.machine} | {row.context} {row.kv} | {row.where} | {held} "
            f"| {row.decode:.0f} t/s | {row.prefill:.0f} t/s | {row.milliseconds:.1f} ms |"
        )
    return "\n".join(lines)


def main() -> None:
    """Measure, and write page and data below the current folder."""
    rows = measure()
    DATA.parent.mkdir(parents=True, exist_ok=True)
    DATA.write_bytes(msgspec.json.format(msgspec.json.encode(rows), indent=1) + b"\n")
    PAGE.write_text(replaced(PAGE.read_text("utf-8"), "plans", section(rows)), "utf-8")
    sys.stdout.write(section(rows) + "\n")


if __name__ == "__main__":
    main()
