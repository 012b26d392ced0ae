"""Efficiencies from measured runs: what the prior says of each term is stretched until it tells the measured times.

A step's time is what is fixed, plus that of the weights, plus that of the cache, which grows with the depth. Measured
at several depths the last two are told apart (least squares over the medians of each depth, relative to the time);
at one depth alone both are stretched alike. Prefill is fitted likewise.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import median
from typing import Final, Literal, NamedTuple

import msgspec
from msgspec.structs import replace

from hostler.hardware.facts import Device, Machine
from hostler.models.shape import ModelShape
from hostler.placement.efficiency import PRIORS, Efficiencies, Efficiency, Fitted, key_of
from hostler.placement.layout import Layout, Run
from hostler.placement.speed import costs, speed_of

Phase = Literal["decode", "prefill"]

#: Requests with fewer tokens than this tell more of their start than of the speed.
LEAST_PROMPT: Final = 64
LEAST_ANSWER: Final = 8
#: No interval is narrower: the same run twice differs by that much.
LEAST_ERROR: Final = 0.1
# Of the device that the others are measured with: below it, the time says too little of the device.
_MOST = 0.7
# Depths that are nearer than this (of the deeper one, and in tokens) are one.
_NEAR, _NEAR_TOKENS = 0.25, 512
# A term that is stretched further than this was not what took the time.
_LEAST, _LARGEST = 0.05, 20.0
_FREE: Final = 1e30


class Point(NamedTuple):
    """Tokens per second with ``depth`` tokens in the cache, on the average over the tokens measured."""

    depth: int
    rate: float


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured of one run of a model."""

    shape: ModelShape
    run: Run
    layout: Layout
    decode: tuple[Point, ...] = ()
    prefill: tuple[Point, ...] = ()


class Request(NamedTuple):
    """llama.cpp's ``timings`` of a request: tokens that were cached, read and generated; milliseconds."""

    cache_n: int
    prompt_n: int
    prompt_ms: float
    predicted_n: int
    predicted_ms: float


def observe(shape: ModelShape, run: Run, layout: Layout, requests: Iterable[Request]) -> Sample:
    """What ordinary requests tell, each the only one of its engine at that time; those that are too short tell nothing.

    The engine's clock of the answer starts when its first token is there.
    """
    decode, prefill = [], []
    for each in requests:
        if each.prompt_n >= LEAST_PROMPT and each.prompt_ms > 0:
            prefill.append(Point(each.cache_n + each.prompt_n // 2, 1e3 * each.prompt_n / each.prompt_ms))
        if each.predicted_n > LEAST_ANSWER and each.predicted_ms > 0:
            depth = each.cache_n + each.prompt_n + each.predicted_n // 2
            decode.append(Point(depth, 1e3 * (each.predicted_n - 1) / each.predicted_ms))
    return Sample(shape=shape, run=run, layout=layout, decode=tuple(decode), prefill=tuple(prefill))


def fit(samples: Sequence[Sample], machine: Machine, start: Efficiencies = PRIORS) -> Efficiencies:
    """``start`` with what ``samples`` say of the device that took most of their time.

    Only samples of the same architecture and quantisation are weighed against each other. Decode in which no device
    took 70% of the time says nothing, nor does prefill on more than one.
    """
    known = start
    for sample in _joined(samples):
        for phase in ("decode", "prefill"):
            device = _bound(sample, machine, phase)
            if device is not None:
                known = replace(
                    known, fitted={**known.fitted, device.id: _learnt(sample, phase, device, machine, known)}
                )
    return known


def _joined(samples: Sequence[Sample]) -> list[Sample]:
    """One sample for all of one model on one layout."""
    joined: dict[tuple[str, Layout, Run], Sample] = {}
    for each in samples:
        key = (key_of(each.shape), each.layout, each.run)
        known = joined.get(key)
        joined[key] = (
            each
            if known is None
            else replace(known, decode=known.decode + each.decode, prefill=known.prefill + each.prefill)
        )
    return list(joined.values())


def _bound(sample: Sample, machine: Machine, phase: Phase) -> Device | None:
    """The device that takes most of that phase, by the priors."""
    if phase == "prefill":
        layout = sample.layout
        used = {*layout.layers, *layout.experts, layout.output}
        return machine.device(used.pop()) if sample.prefill and len(used) == 1 else None
    if not sample.decode:
        return None
    depth = int(median(point.depth for point in sample.decode))
    speed = speed_of(costs(sample.shape, sample.run, machine, PRIORS, depth), sample.layout)
    return machine.device(speed.bound) if speed.shares[speed.bound] >= _MOST else None


def _learnt(sample: Sample, phase: Phase, device: Device, machine: Machine, known: Efficiencies) -> Fitted:
    """What is known of ``device`` after this sample too."""
    prior, before = known.priors[device.kind], known.fitted.get(device.id)
    of = dict(before.of) if before else {}
    found = of.get(key_of(sample.shape), prior)
    weights, cache, error = _Trial(sample, machine, device.id).stretch(phase, found)
    if phase == "decode":
        found = replace(
            found, decode=found.decode / weights, vector=found.vector / weights, cache=found.cache / cache,
            attend=found.attend / cache, error=error,
        )  # fmt: skip
    else:
        found = replace(found, prefill=found.prefill / weights, attention=found.attention / cache, prefill_error=error)
    of[key_of(sample.shape)] = replace(found, source=_source(sample))
    return Fitted(whole=_whole(list(of.values()), prior), of=of)


def _source(sample: Sample) -> str:
    return f"fitted: {len(sample.decode)} answers, {len(sample.prefill)} prompts of {key_of(sample.shape)}"


def _whole(each: list[Efficiency], prior: Efficiency) -> Efficiency:
    """For models that were not measured: the median of those that were, half as uncertain as the prior at best."""
    fields = [name for name in Efficiency.__struct_fields__ if name not in ("error", "prefill_error", "source")]
    middle = {name: median(getattr(one, name) for one in each) for name in fields}
    return replace(
        prior,
        **middle,
        error=max(prior.error / 2, *(one.error for one in each)),
        prefill_error=max(prior.prefill_error / 2, *(one.prefill_error for one in each)),
        source=f"fitted: other models ({len(each)})",
    )


class _Terms(NamedTuple):
    """Predicted seconds per token: what is not fitted, weights, cache and attention; and those that were measured."""

    rest: float
    weights: float
    cache: float
    measured: float


class _Trial:
    """One sample and one device."""

    def __init__(self, sample: Sample, machine: Machine, device: str) -> None:
        self._sample, self._machine, self._device = sample, machine, device

    def stretch(self, phase: Phase, efficiency: Efficiency) -> tuple[float, float, float]:
        """By what the terms of the weights and of the cache must be multiplied, and the error that then remains."""
        points = _by_depth(self._sample.decode if phase == "decode" else self._sample.prefill)
        terms = [self._terms(phase, point, efficiency) for point in points]
        weights, cache = _solved(terms)
        return weights, cache, _remaining(terms, weights, cache)

    def _terms(self, phase: Phase, point: Point, efficiency: Efficiency) -> _Terms:
        without_cache = replace(efficiency, cache=_FREE, attend=_FREE, attention=_FREE)
        if phase == "decode":
            without_all = replace(without_cache, decode=_FREE, vector=_FREE)
        else:
            without_all = replace(without_cache, prefill=_FREE)
        whole, no_cache, rest = (
            self._seconds(phase, point.depth, each) for each in (efficiency, without_cache, without_all)
        )
        return _Terms(rest, no_cache - rest, whole - no_cache, 1 / point.rate)

    def _seconds(self, phase: Phase, depth: int, efficiency: Efficiency) -> float:
        known = Efficiencies(priors=PRIORS.priors, fitted={self._device: Fitted(whole=efficiency)})
        sample = self._sample
        speed = speed_of(costs(sample.shape, sample.run, self._machine, known, depth), sample.layout)
        return 1 / (speed.decode if phase == "decode" else speed.prefill).value


def _by_depth(points: Sequence[Point]) -> list[Point]:
    """One point for each depth: the medians of those that are near each other."""
    ordered = sorted(points)
    groups: list[list[Point]] = []
    for point in ordered:
        first = groups[-1][0].depth if groups else None
        if first is not None and point.depth - first <= max(_NEAR * first, _NEAR_TOKENS):
            groups[-1].append(point)
        else:
            groups.append([point])
    return [Point(int(median(p.depth for p in each)), median(p.rate for p in each)) for each in groups]


def _solved(terms: Sequence[_Terms]) -> tuple[float, float]:
    """The stretches of weights and cache with the least squares of the relative errors."""
    ww = sum((each.weights / each.measured) ** 2 for each in terms)
    cc = sum((each.cache / each.measured) ** 2 for each in terms)
    wc = sum(each.weights * each.cache / each.measured**2 for each in terms)
    left = [(each.measured - each.rest) / each.measured for each in terms]
    w = sum(each.weights / each.measured * rest for each, rest in zip(terms, left, strict=True))
    c = sum(each.cache / each.measured * rest for each, rest in zip(terms, left, strict=True))
    below = ww * cc - wc * wc
    # Terms that grow alike cannot be told apart.
    if below > 1e-3 * ww * cc:
        weights, cache = (w * cc - c * wc) / below, (c * ww - w * wc) / below
        if _LEAST <= weights <= _LARGEST and _LEAST <= cache <= _LARGEST:
            return weights, cache
    both = median((each.measured - each.rest) / max(each.weights + each.cache, 1e-12) for each in terms)
    both = min(max(both, _LEAST), _LARGEST)
    return both, both


def _remaining(terms: Sequence[_Terms], weights: float, cache: float) -> float:
    """The largest relative error at any depth, at least :data:`LEAST_ERROR`; a single depth is trusted less."""
    missed = max(abs((each.rest + weights * each.weights + cache * each.cache) / each.measured - 1) for each in terms)
    return max(LEAST_ERROR if len(terms) > 1 else 2 * LEAST_ERROR, missed)
