"""``python -m hostler.bench.placement_speed``: predicted against measured tokens per second, on this machine.

For each starter model one calibration run, then another run of the engine, whose speed is compared with what the first
one taught. Each round begins knowing nothing. Writes its section of docs/benchmarks/placement.md and every figure to
benchmarks/results/placement-speed.json. Two minutes for each model and run, longer while other programs compute.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Final

import msgspec

from hostler.bench.sections import replaced
from hostler.models.starters import STARTERS, fetch

COMMAND: Final = "python -m hostler.bench.placement_speed"
MODELS: Final = ("smollm2", "gemma3-270m")
#: What a prediction may be off, as a part of what was measured.
GOAL: Final = 0.15

#: Depths of a whole run, and how often one is tried.
DEPTHS: Final = 3
TRIES: Final = 4

_CONFIG: Final = """\
[library]
caches = false

"""


class Figure(msgspec.Struct, frozen=True):
    """A number and where it is from, as `hostler hardware --json` has it."""

    value: float
    source: str


class Against(msgspec.Struct, frozen=True):
    """Tokens per second: measured, and predicted with its interval."""

    measured: float
    low: float
    predicted: float
    high: float

    @property
    def off(self) -> float:
        """Prediction less measurement, as a part of the measurement."""
        return self.predicted / self.measured - 1


class Row(msgspec.Struct, frozen=True):
    """At one depth."""

    depth: int
    decode: Against
    prefill: Against


class Run(msgspec.Struct, frozen=True):
    """What `hostler calibrate --json` says of one profile."""

    profile: str
    architecture: str
    quantisation: str
    build: str
    rows: tuple[Row, ...]


class Pair(msgspec.Struct, frozen=True, kw_only=True):
    """``learnt`` is the calibration run, ``checked`` the run after it, against what the first one taught."""

    round: int
    learnt: Run
    checked: Run


class Speeds(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that the page shows; ``at`` in seconds since the Unix epoch."""

    at: float
    command: str
    processor: str
    memory: Figure | None
    pairs: tuple[Pair, ...]


class _Device(msgspec.Struct, frozen=True):
    id: str
    name: str
    bandwidth: Figure | None = None


class _Cpu(msgspec.Struct, frozen=True):
    model: str
    cores: int


class _Machine(msgspec.Struct, frozen=True):
    devices: tuple[_Device, ...]
    cpu: _Cpu


def measure(models: Path, rounds: int, patience_s: int) -> Speeds:
    """Every round, each in a home of its own; at each depth other programs are waited for so long."""
    paths = {name: fetch(STARTERS[name], models, lambda _: None) for name in MODELS}
    pairs: list[Pair] = []
    machine: _Machine | None = None
    for number in range(rounds):
        with tempfile.TemporaryDirectory() as scratch:
            home = _home(Path(scratch), paths)
            machine = msgspec.json.decode(_hostler(home, "hardware", "--json"), type=_Machine)
            for name in MODELS:
                waiting = ("--patience", str(patience_s))
                learnt, checked = (_run(home, name, *waiting, *more) for more in ((), ("--check",)))
                pairs.append(Pair(round=number + 1, learnt=learnt, checked=checked))
    assert machine is not None
    memory = next(device.bandwidth for device in machine.devices if device.id == "host")
    processor = f"{machine.cpu.model}, {machine.cpu.cores} cores"
    return Speeds(at=time.time(), command=COMMAND, processor=processor, memory=memory, pairs=tuple(pairs))


def _home(home: Path, paths: dict[str, Path]) -> Path:
    profiles = (
        f'[profiles.{name}]\nmodel = {msgspec.json.encode(str(path.absolute())).decode()}\ntask = "completion"\n'
        for name, path in paths.items()
    )
    (home / "hostler.toml").write_text(_CONFIG + "\n".join(profiles), "utf-8")
    return home


def _run(home: Path, name: str, *more: str) -> Run:
    """One run; again, a few times, when other programs left a depth without a measurement."""
    for _ in range(TRIES):
        try:
            told = _hostler(home, "calibrate", name, *more, "--json")
        except subprocess.CalledProcessError:
            continue
        run = msgspec.json.decode(told, type=tuple[Run])[0]
        if len(run.rows) == DEPTHS:
            return run
    raise SystemExit(f"{name}: other programs used the processor all the time")


def _hostler(home: Path, *arguments: str) -> bytes:
    program = str(Path(sys.executable).with_name("hostler"))
    environment = os.environ | {"HOSTLER_HOME": str(home)}
    return subprocess.run([program, *arguments], stdout=subprocess.PIPE, env=environment, check=True).stdout


def section(speeds: Speeds) -> str:
    """The section, in Markdown."""
    day = time.strftime("%Y-%m-%d", time.gmtime(speeds.at))
    memory = f"{speeds.memory.value / 1e9:.1f} GB/s ({speeds.memory.source})" if speeds.memory else "not measured"
    build = speeds.pairs[0].checked.build
    rounds = max(pair.round for pair in speeds.pairs)
    lines = [
        f"- Command: `{speeds.command}`; every figure: `benchmarks/results/placement-speed.json`; {day}",
        f"- {speeds.processor}; memory {memory}; {build}; {rounds} round{'' if rounds == 1 else 's'}",
        f"- Furthest off{', median of the rounds' if rounds > 1 else ''}: {_furthest(speeds):.1%}, of the {GOAL:.0%} "
        "that are allowed",
        "",
        "| model | depth | decode, measured | predicted | off | prefill, measured | predicted | off |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for pair in speeds.pairs:
        label = f"{pair.checked.profile} {pair.checked.quantisation}" + (f", round {pair.round}" if rounds > 1 else "")
        lines += [
            f"| {label} | {row.depth} | {_cells(row.decode)} | {_cells(row.prefill)} |" for row in pair.checked.rows
        ]
    return "\n".join(lines)


def _furthest(speeds: Speeds) -> float:
    offs: dict[tuple[str, int, str], list[float]] = defaultdict(list)
    for pair in speeds.pairs:
        for row in pair.checked.rows:
            offs[pair.checked.profile, row.depth, "decode"].append(row.decode.off)
            offs[pair.checked.profile, row.depth, "prefill"].append(row.prefill.off)
    return max(abs(statistics.median(each)) for each in offs.values())


def _cells(each: Against) -> str:
    return f"{each.measured:.1f} | {each.predicted:.1f} ({each.low:.1f} to {each.high:.1f}) | {each.off:+.1%}"


def main() -> None:
    """Measure, write the figures, and the page's section."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    arguments.add_argument("--rounds", type=int, default=1)
    arguments.add_argument("--models", type=Path, default=Path(".make/models"))
    arguments.add_argument("--data", type=Path, default=Path("benchmarks/results/placement-speed.json"))
    arguments.add_argument("--page", type=Path, default=Path("docs/benchmarks/placement.md"))
    arguments.add_argument(
        "--patience", type=int, default=600, help="seconds to wait for other programs, at each depth"
    )
    told = arguments.parse_args()
    speeds = measure(told.models, told.rounds, told.patience)
    told.data.parent.mkdir(parents=True, exist_ok=True)
    told.data.write_bytes(msgspec.json.format(msgspec.json.encode(speeds), indent=1) + b"\n")
    told.page.write_text(replaced(told.page.read_text("utf-8"), "speed", section(speeds)), "utf-8")
    print(section(speeds))


if __name__ == "__main__":
    main()
