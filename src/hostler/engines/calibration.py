"""What was learnt of this machine's speed, kept by its fingerprint and the build; and samples from measured rounds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
from msgspec.structs import replace

from hostler.engines.measuring import BEYOND, DEPTHS, Round, fastest
from hostler.engines.protocol import LoadSpec, Runner
from hostler.hardware.facts import Machine
from hostler.models.shape import ModelShape
from hostler.placement.efficiency import PRIORS, Efficiencies, Fitted
from hostler.placement.fitting import Point, Sample


class Subject(msgspec.Struct, frozen=True, kw_only=True):
    """What is measured: how it is run, on what, at which depths; ``build`` is the key of its build."""

    spec: LoadSpec
    shape: ModelShape
    machine: Machine
    runner: Runner
    build: str
    cache: Path
    depths: tuple[int, ...]


class _Kept(msgspec.Struct, frozen=True):
    """By build, then by device."""

    builds: dict[str, dict[str, Fitted]] = {}


def learnt(cache: Path, fingerprint: str, build: str) -> Efficiencies:
    """The priors, and what was fitted on the machine of that fingerprint with that build (its ``key``)."""
    return replace(PRIORS, fitted=_read(cache, fingerprint).builds.get(build, {}))


def keep(cache: Path, fingerprint: str, build: str, efficiencies: Efficiencies) -> None:
    """Keep what was fitted for that build; a cache that cannot be written only costs another measurement."""
    kept = _read(cache, fingerprint)
    file = _file(cache, fingerprint)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        fresh = file.with_suffix(".new")
        fresh.write_bytes(msgspec.json.encode(_Kept({**kept.builds, build: efficiencies.fitted})))
        fresh.replace(file)
    except OSError:
        return


def depths_of(context: int) -> tuple[int, ...]:
    """The depths at which a run with ``context`` tokens can be measured."""
    return tuple(depth for depth in DEPTHS if not depth or depth + BEYOND <= context)


def sample_of(subject: Subject, rounds: Sequence[Round]) -> Sample:
    """What the rounds of one walk say: what :func:`chosen` says of each depth, and the prompts on the way."""
    each = [chosen(rounds, depth) for depth in subject.depths]
    plan = subject.spec.plan
    return Sample(
        shape=subject.shape,
        run=plan.run,
        layout=plan.layout,
        decode=tuple(point for decode, _ in each for point in decode),
        prefill=(
            *(point for _, prefill in each for point in prefill),
            *(prefill_point(one) for one in rounds if one.depth is None and one.counts),
        ),
    )


def chosen(rounds: Sequence[Round], depth: int) -> tuple[list[Point], list[Point]]:
    """Answers and prompts at that depth: the fastest few of those that count."""
    here = [each for each in rounds if each.depth == depth and each.counts]
    answers, prompts = fastest([each.decode for each in here]), fastest([each.prefill for each in here])
    return (
        [decode_point(each) for each in here if each.decode in answers],
        [prefill_point(each) for each in here if each.prefill in prompts],
    )


def decode_point(each: Round) -> Point:
    """The middle of the answer."""
    request = each.request
    return Point(request.cache_n + request.prompt_n + request.predicted_n // 2, each.decode)


def prefill_point(each: Round) -> Point:
    """The middle of the prompt."""
    return Point(each.request.cache_n + each.request.prompt_n // 2, each.prefill)


def _read(cache: Path, fingerprint: str) -> _Kept:
    try:
        return msgspec.json.decode(_file(cache, fingerprint).read_bytes(), type=_Kept)
    except (OSError, msgspec.MsgspecError):
        return _Kept()


def _file(cache: Path, fingerprint: str) -> Path:
    return cache / "hardware" / f"{fingerprint}.speed.json"
