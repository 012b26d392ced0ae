"""What a calibration measures, and samples from its rounds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from hostler.engines.protocol import LoadSpec, Runner
from hostler.engines.speed.measuring import BEYOND, DEPTHS, Round, fastest
from hostler.hardware.facts import Machine
from hostler.models.shape import ModelShape
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
