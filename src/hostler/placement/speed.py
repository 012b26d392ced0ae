"""How fast a run will be, by the roofline: bytes over bandwidth, operations over rate, each times what is reached.

Decode: for each token every device reads the weights of its layers (of routed experts the active share), the cache
up to the depth (in a layer with a sliding window no further than that) and its recurrent states; a device whose
arithmetic is slower than its memory takes the longer of the two. Each layer costs a launch, each change of device a
crossing, each token a step of sampling on the host.

Prefill: a batch reads the weights once and computes two operations per weight and token, and attention. llama.cpp
computes on the first GPU what lies on the host too (``--op-offload``): from 32 tokens on, weights go over PCIe for
each ubatch (``ggml_backend_cuda_device_offload_op``; of experts those that are used,
``ggml_backend_sched_compute_splits``).
Several GPUs that hold whole layers work on different ubatches at once (``llama_context``: pipeline parallelism).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple, TypeVar

import msgspec

from hostler.hardware.facts import Machine
from hostler.models.shape import ModelShape
from hostler.placement.devicetime import OFFLOAD_TOKENS, DeviceTime, crossing, step
from hostler.placement.efficiency import Efficiencies
from hostler.placement.layout import HOST, Layout, Run
from hostler.placement.work import LayerWork, Work, work_of

T = TypeVar("T")
# A run that is slower than its prediction by more than this is worth telling.
_TELLING = 0.25


class Range(msgspec.Struct, frozen=True):
    """A prediction and the interval that it is expected in."""

    low: float
    value: float
    high: float


class Speed(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens per second of one request at ``depth`` tokens of context.

    ``splits`` is llama.cpp's count of graph splits, ``bound`` the device that takes most of a decode step,
    ``shares`` each device's part of it; what is left to 1 is crossings and sampling.
    """

    depth: int
    decode: Range
    prefill: Range
    splits: int
    bound: str
    shares: dict[str, float]


class Cost(NamedTuple):
    """Seconds per token."""

    decode: float
    prefill: float


class Costs(msgspec.Struct, frozen=True, kw_only=True):
    """What each layer costs on each device, so that a search adds up layouts without computing anything twice.

    By device id: ``dense`` and ``experts`` one Cost per layer (dense: all weights but routed experts, attention,
    cache; both 0 for prediction layers), ``output`` the output matrix. ``lent_dense`` and ``lent_experts``: seconds
    of prefill per token for layers that lie on the host while that GPU computes them; ``attention``: what the host
    then still computes itself. ``crossing`` is one change of device, ``overhead`` the step itself. ``errors``:
    relative half-widths, decode and prefill. ``chunks``: ubatches of a batch, which GPUs can work on at once.
    """

    depth: int
    dense: dict[str, tuple[Cost, ...]]
    experts: dict[str, tuple[Cost, ...]]
    output: dict[str, Cost]
    lent_dense: dict[str, tuple[float, ...]]
    lent_experts: dict[str, tuple[float, ...]]
    attention: tuple[float, ...]
    crossing: Cost
    overhead: Cost
    errors: dict[str, Cost]
    chunks: int


def costs(shape: ModelShape, run: Run, machine: Machine, efficiencies: Efficiencies, depth: int = 0) -> Costs:
    """Costs with ``depth`` tokens in the cache: prefill is that of the next tokens, not the mean from the start.

    Under 2 ms for a hundred layers on three devices.
    """
    work = work_of(shape, run, depth)
    times = {
        device.id: DeviceTime(device, machine, efficiencies.of(device.id, device.kind, shape), run)
        for device in machine.devices
    }
    gpus = {name: time for name, time in times.items() if name != HOST and work.tokens >= OFFLOAD_TOKENS}
    return Costs(
        depth=depth,
        dense={name: _each(work, partial(_dense, time, work)) for name, time in times.items()},
        experts={name: _each(work, partial(_experts, time, work)) for name, time in times.items()},
        output={name: Cost(time.output(work.output), 0.0) for name, time in times.items()},
        lent_dense={name: _each(work, partial(time.lent_dense, work)) for name, time in gpus.items()},
        lent_experts={name: _each(work, partial(time.lent_experts, work)) for name, time in gpus.items()},
        attention=_each(work, times[HOST].attention),
        crossing=Cost(*crossing(machine, shape.embedding)),
        overhead=Cost(step(shape.vocabulary, machine), 0.0),
        errors={name: Cost(time.error, time.prefill_error) for name, time in times.items()},
        chunks=max(1, run.batch // work.tokens),
    )


def _dense(time: DeviceTime, work: Work, layer: LayerWork) -> Cost:
    return Cost(*time.dense(work, layer))


def _experts(time: DeviceTime, work: Work, layer: LayerWork) -> Cost:
    return Cost(*time.experts(work, layer))


def speed_of(costs: Costs, layout: Layout) -> Speed:
    """The speed of a run that is laid out so; under 100 µs for a hundred layers."""
    splits = splits_of(layout)
    decode, prefill = _decode(costs, layout), _prefill(costs, layout)
    step_s = _in_turn(decode, layout) + _hops(layout, splits) * costs.crossing.decode + costs.overhead.decode
    prompt_s = _at_once(prefill, costs, layout) + _hops(layout, splits) * costs.crossing.prefill
    return Speed(
        depth=costs.depth,
        decode=_range(step_s, _error(decode, {name: each.decode for name, each in costs.errors.items()})),
        prefill=_range(prompt_s, _error(prefill, {name: each.prefill for name, each in costs.errors.items()})),
        splits=splits,
        bound=max(decode, key=lambda device: decode[device]),
        shares={device: seconds / step_s for device, seconds in decode.items() if seconds},
    )


def splits_of(layout: Layout) -> int:
    """llama.cpp's "graph splits" of a decode step: stretches of the graph that one backend computes.

    It looks up the token on the host, so one GPU alone has two, the processor alone one; experts on another device
    than their layer add two (``ggml_backend_sched_split_graph``).
    """
    count, last = 1, HOST
    for home, experts in zip(layout.layers, layout.experts, strict=True):
        count += (home != last) + (experts != home)
        last = experts
    return count + (layout.output != last)


def _decode(costs: Costs, layout: Layout) -> dict[str, float]:
    """Seconds of a step by device."""
    if _cut(layout):
        return {
            gpu: share * (_all(costs, gpu).decode + costs.output[gpu].decode)
            for gpu, share in zip(layout.gpus, layout.shares, strict=True)
        }
    spent = dict.fromkeys(layout.devices, 0.0)
    dense, experts = costs.dense, costs.experts
    for index, (home, away) in enumerate(zip(layout.layers, layout.experts, strict=True)):
        spent[home] += dense[home][index].decode
        spent[away] += experts[away][index].decode
    spent[layout.output] += costs.output[layout.output].decode
    return spent


def _prefill(costs: Costs, layout: Layout) -> dict[str, float]:
    """Seconds per token of a prompt by device; the first GPU computes what lies on the host, if the engine lends it."""
    if _cut(layout):
        shares = zip(layout.gpus, layout.shares, strict=True)
        return {gpu: share * _all(costs, gpu).prefill for gpu, share in shares}
    spent = dict.fromkeys(layout.devices, 0.0)
    borrower = layout.gpus[0] if layout.gpus and layout.gpus[0] in costs.lent_dense else None
    dense, experts = costs.dense, costs.experts
    for index, (home, away) in enumerate(zip(layout.layers, layout.experts, strict=True)):
        if borrower is None or home != HOST:
            spent[home] += dense[home][index].prefill
        else:
            spent[borrower] += costs.lent_dense[borrower][index]
            spent[HOST] += costs.attention[index]
        if borrower is None or away != HOST:
            spent[away] += experts[away][index].prefill
        else:
            spent[borrower] += costs.lent_experts[borrower][index]
    return spent


def _all(costs: Costs, device: str) -> Cost:
    """Every layer on one device."""
    layers = (*costs.dense[device], *costs.experts[device])
    return Cost(sum(each.decode for each in layers), sum(each.prefill for each in layers))


def _in_turn(spent: dict[str, float], layout: Layout) -> float:
    """Devices wait for each other; those that share every layer work at once, and the slowest counts."""
    return max(spent.values()) if _cut(layout) else sum(spent.values())


def _at_once(spent: dict[str, float], costs: Costs, layout: Layout) -> float:
    """As in decode, but GPUs that hold all layers, whole, work on one ubatch each: all but one hide behind the slowest.

    llama.cpp does so with two devices or more, every layer and the output on them, and no tensor moved elsewhere.
    """
    whole = layout.experts == layout.layers and HOST not in layout.layers and layout.output != HOST
    if _cut(layout) or len(layout.gpus) < 2 or not whole:
        return _in_turn(spent, layout)
    return (sum(spent.values()) + (costs.chunks - 1) * max(spent.values())) / costs.chunks


def _hops(layout: Layout, splits: int) -> int:
    """Changes of device in a step; layers that are cut into shares are put together twice each."""
    return 2 * len(layout.layers) if _cut(layout) else splits - 1


def _cut(layout: Layout) -> bool:
    return layout.split == "tensor" and len(layout.gpus) > 1


def _error(spent: dict[str, float], errors: dict[str, float]) -> float:
    """Of a sum: each device's by its part."""
    whole = sum(spent.values())
    return sum(seconds * errors[device] for device, seconds in spent.items()) / whole if whole else 0.0


# Of a model with next to nothing in it: no rate is infinite.
_LEAST_S = 1e-9


def _range(seconds: float, error: float) -> Range:
    rate = 1 / max(seconds, _LEAST_S)
    return Range(low=rate * max(0.0, 1 - error), value=rate, high=rate * (1 + error))


def _each(work: Work, timed: Callable[[LayerWork], T]) -> tuple[T, ...]:
    """``timed`` of every layer; layers that are alike are timed once."""
    found = {layer: timed(layer) for layer in set(work.layers)}
    return tuple(found[layer] for layer in work.layers)


def shortfall(predicted: Range, measured: float) -> float | None:
    """By how much ``measured`` is below the prediction, as a part of it; None up to a quarter."""
    missing = 1 - measured / predicted.value
    return missing if missing > _TELLING else None
