"""`hostler calibrate`: measure how fast this machine runs a model, so that plans can tell the speed of others."""

from __future__ import annotations

import os
import sys
from statistics import median
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from hostler.cli.command import Session, command
from hostler.config import paths
from hostler.errors import HomeError, InvalidRequest

if TYPE_CHECKING:
    from rich.table import Table

    from hostler.engines.speed.calibration import Subject
    from hostler.engines.speed.measuring import Round
    from hostler.placement.efficiency import Efficiencies
    from hostler.placement.fitting import Phase, Point

Profiles = Annotated[
    list[str] | None,
    typer.Argument(metavar="PROFILE", help="Default: every configured one whose model is there.", show_default=False),
]
CheckOption = Annotated[bool, typer.Option("--check", help="Compare with what is predicted; learn nothing.")]

PatienceOption = Annotated[
    int, typer.Option("--patience", metavar="S", min=0, help="Seconds to wait for other programs, at each depth.")
]
AnywayOption = Annotated[
    bool, typer.Option("--anyway", help="Count what was measured while other programs used the processor, too.")
]


class Compared(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens per second: the median of what was measured, and the prediction with its interval."""

    measured: float
    low: float
    predicted: float
    high: float

    @property
    def off(self) -> float:
        """By how much the prediction is too high, as a part of what was measured."""
        return self.predicted / self.measured - 1


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """Near one depth."""

    depth: int
    decode: Compared
    prefill: Compared


class Calibrated(msgspec.Struct, frozen=True, kw_only=True):
    """One profile. ``device`` takes most of the time of a token; ``learnt`` is False after `--check`."""

    profile: str
    architecture: str
    quantisation: str
    build: str
    device: str
    learnt: bool
    source: str
    rows: tuple[Row, ...]


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    command(
        app,
        "calibrate",
        "hostler calibrate smollm2            two minutes for a small model",
        "hostler calibrate smollm2 --check    is what was learnt still true?",
        gateway=False,
    )(calibrate)


async def calibrate(
    session: Session,
    profiles: Profiles = None,
    check: CheckOption = False,
    patience: PatienceOption = 60,
    anyway: AnywayOption = False,
) -> None:
    """Measure how fast profiles run here, for plans.

    Starts an engine of its own for each, and measures prompts and answers with 0, 2048 and 6144 tokens before them, as
    far as the context goes. Waits while other programs use the processor; unload what is loaded first. What is learnt
    is kept for this machine and build, by architecture and quantisation; plans of other models use it too.
    """
    from hostler.cli.calibration_subjects import subjects
    from hostler.cli.output import console, write_json

    if not check:
        _check_keepable(session)
    done = []
    for subject in await subjects(session, profiles or []):
        done.append(await _calibrated(subject, check=check, patience_s=None if anyway else patience))
    if session.json:
        write_json(done)
    else:
        screen = console(session)
        for each in done:
            screen.print(f"{each.profile} ({each.architecture} {each.quantisation}), mostly on {each.device}")
            screen.print(f"with {each.build}")
            screen.print(_table(each))
    if not check:
        _check_kept(session, done)
    if not check and not session.json:
        print("Plans on this machine now use what was measured; --check compares it again.")


def _check_keepable(session: Session) -> None:
    """Before minutes of measuring that would be for nothing. Raises HomeError."""
    from hostler.engines.speed.efficiencies import keepable

    cache = paths.home(os.environ, session.config).cache
    if not keepable(cache):
        raise HomeError(
            f"What would be measured could not be kept in {cache}.",
            hint="Is its disk full, or the folder read-only? --check only compares, and keeps nothing.",
        )


def _check_kept(session: Session, done: list[Calibrated]) -> None:
    """What could not be kept after all is an error, also for programs."""
    if not all(each.learnt for each in done):
        cache = paths.home(os.environ, session.config).cache
        raise HomeError(
            f"What was measured could not be kept in {cache}; plans go on without it.",
            hint="Is its disk full, or the folder read-only?",
        )


async def _calibrated(subject: Subject, *, check: bool, patience_s: float | None) -> Calibrated:
    from hostler.engines.speed.calibration import sample_of
    from hostler.engines.speed.efficiencies import keep, learnt
    from hostler.placement.fitting import fit

    rounds = await _rounds(subject, patience_s)
    sample = sample_of(subject, rounds)
    if not sample.decode:
        raise InvalidRequest(
            f"Other programs used the processor all the time; nothing was learnt of {subject.spec.profile}.",
            hint="End them, unload what is loaded, or say --anyway.",
        )
    known = learnt(subject.cache, subject.machine.fingerprint, subject.build)
    if not check:
        known = fit([sample], subject.machine, known)
    kept = not check and keep(subject.cache, subject.machine.fingerprint, subject.build, known)
    return _compared(subject, rounds, known, learnt_now=kept)


async def _rounds(subject: Subject, patience_s: float | None) -> list[Round]:
    """Everything that was measured, told on standard error as it comes."""
    from hostler.engines.speed.alone import running
    from hostler.engines.speed.measuring import walk

    name, rounds = subject.spec.profile, []
    _say(f"{name}: loading ...")
    async with running(subject.runner, subject.spec) as engine:
        async for each in walk(engine, subject.shape.vocabulary, subject.depths, patience_s=patience_s):
            rounds.append(each)
            _say(f"{name}: {_told(each)}")
    return rounds


def _told(each: Round) -> str:
    at = each.request.cache_n + each.request.prompt_n
    speeds = f"prefill {each.prefill:.1f}" + (f", decode {each.decode:.1f}" if each.depth is not None else "")
    disturbed = "" if each.counts else f" (does not count: other programs had {each.others:.0%} of the processor)"
    return f"{speeds} tokens/s at {at} tokens{disturbed}"


def _compared(subject: Subject, rounds: list[Round], known: Efficiencies, *, learnt_now: bool) -> Calibrated:
    from hostler.placement.speed import costs, speed_of

    plan, machine = subject.spec.plan, subject.machine
    device = speed_of(costs(subject.shape, plan.run, machine, known), plan.layout).bound
    kind = next(each.kind for each in machine.devices if each.id == device)
    return Calibrated(
        profile=subject.spec.profile,
        architecture=subject.shape.architecture,
        quantisation=subject.shape.quantisation,
        build=subject.build,
        device=device,
        learnt=learnt_now,
        source=known.of(device, kind, subject.shape).source,
        rows=tuple(row for depth in subject.depths if (row := _row(subject, rounds, known, depth)) is not None),
    )


def _row(subject: Subject, rounds: list[Round], known: Efficiencies, depth: int) -> Row | None:
    """None when every round there was disturbed."""
    from hostler.engines.speed.calibration import chosen

    answers, prompts = chosen(rounds, depth)
    if not answers or not prompts:
        return None
    return Row(
        depth=depth,
        decode=_against(subject, answers, known, "decode"),
        prefill=_against(subject, prompts, known, "prefill"),
    )


def _against(subject: Subject, points: list[Point], known: Efficiencies, phase: Phase) -> Compared:
    from hostler.placement.speed import costs, speed_of

    plan, middle = subject.spec.plan, int(median(point.depth for point in points))
    speed = speed_of(costs(subject.shape, plan.run, subject.machine, known, middle), plan.layout)
    told = speed.decode if phase == "decode" else speed.prefill
    measured = median(point.rate for point in points)
    return Compared(measured=measured, low=told.low, predicted=told.value, high=told.high)


def _table(done: Calibrated) -> Table:
    from hostler.cli.output import table

    columns = ("depth", "decode t/s", "predicted", "off", "prefill t/s", "predicted ", "off ")
    built = table(*columns, right=columns)
    for row in done.rows:
        built.add_row(str(row.depth), *_cells(row.decode), *_cells(row.prefill))
    return built


def _cells(each: Compared) -> tuple[str, str, str]:
    from hostler.cli.output import rate

    told = f"{rate(each.predicted)} ({rate(each.low)}-{rate(each.high)})"
    return rate(each.measured), told, f"{each.off:+.0%}"


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
