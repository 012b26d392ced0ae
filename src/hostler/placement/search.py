"""Finds the layout with the shortest request among those that fit.

A layout is a run of blocks on the host, then one run on each GPU in order (that is how llama.cpp assigns them:
``llama_model::load_tensors``, ``get_layer_buft_list``), and for models with experts a choice of blocks whose experts
stay on the host. Sums over runs are differences of running totals, so that a layout costs microseconds.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations
from math import comb
from typing import NamedTuple, TypeVar

from msgspec.structs import replace

from hostler.hardware.facts import Kind
from hostler.models.shape import ModelShape
from hostler.placement.bytes import Classes, Held
from hostler.placement.layout import HOST, Layout, Run, whole
from hostler.placement.speed import Cost, Costs, Speed, speed_of
from hostler.placement.wish import Site

#: Architectures that llama.cpp does not cut into shares (``llm_arch_supports_sm_tensor``).
NOT_CUT = frozenset(
    {
        "grok", "mpt", "plamo2", "minicpm3", "gemma3n", "mamba", "mamba2", "jamba", "falcon-h1", "olmo2", "olmoe",
        "deepseek2", "deepseek32", "glm-dsa", "bitnet", "t5", "nemotron_h", "nemotron_h_moe", "granitehybrid",
        "minimax-m2", "mistral4", "kimi-linear",
    }
)  # fmt: skip

Number = TypeVar("Number", int, float)

GRID = 100  # cuts tried in one order before the best is refined
REPAIRS = 6  # times a layout that turned out too large is tried again with less room
SUBSETS = 3  # of so many GPUs or fewer every subset is tried


class Weights(NamedTuple):
    """The request whose time is made shortest: new tokens of its prompt, tokens of its answer."""

    prompt: int
    answer: int

    def seconds(self, cost: Cost) -> float:
        return self.prompt * cost.prefill + self.answer * cost.decode


class Cut(NamedTuple):
    """GPU i has the blocks from ``bounds[i]`` to ``bounds[i + 1]``, the host those before the first. Of the blocks of
    GPU i the first ``spilled[i]`` have their experts on the host."""

    seconds: float
    bounds: tuple[int, ...]
    spilled: tuple[int, ...]


class _HostSeconds(NamedTuple):
    dense: list[float]
    experts: list[float]


class Found(NamedTuple):
    """A layout that fits, the seconds of a request with it, its speed and its bytes."""

    seconds: float
    layout: Layout
    speed: Speed
    bytes: dict[str, Classes]


class Problem:
    """One run of one model on one machine."""

    def __init__(
        self,
        shape: ModelShape,
        run: Run,
        site: Site,
        costs: Costs,
        weights: Weights,
        *,
        projector_on_host: bool = False,
    ) -> None:
        self._projector_on_host = projector_on_host
        self._shape, self._run, self._site, self._costs, self._weights = shape, run, site, costs, weights
        self._kinds: dict[str, Kind] = {device.id: device.kind for device in site.machine.devices}
        self._unified = [device.id for device in site.machine.devices if device.unified]
        self._count = len(shape.layers)
        self._held = Held(shape, run)
        held = self._held.pieces
        self._dense = _totals(a + b for a, b in zip(held.dense, held.cache, strict=True))
        self._experts = _totals(held.experts)
        self._routed = _totals(int(size > 0) for size in held.experts)
        self._time = {device: _totals(map(weights.seconds, each)) for device, each in costs.dense.items()}
        self._hop = weights.seconds(costs.crossing)
        self._host: dict[str, _HostSeconds] = {}
        self._expert_time = {device: _totals(map(weights.seconds, each)) for device, each in costs.experts.items()}

    def on_host(self) -> Found | None:
        """Everything on the host; None when it does not fit."""
        return self.found(whole(self._shape, HOST))

    def best(self, gpus: Sequence[str]) -> Found | None:
        """The best layout on one or several of ``gpus`` and the host; None when none fits."""
        fast = sorted(gpus, key=lambda device: self._time[device][-1] + self._expert_time[device][-1])
        alone = self.found(self._alone(fast[0]))
        if alone is not None and not self._shared_layouts():
            return alone  # nothing is quicker than the fastest card with everything
        found = [each for order in _orders(fast) if (each := self._in_order(order)) is not None]
        found += [each for layout in self._shared_layouts() if (each := self.found(layout)) is not None]
        return min(found, key=lambda each: (each.seconds, len(each.layout.gpus)), default=None)

    def found(self, layout: Layout) -> Found | None:
        """``layout`` with its speed and bytes; None when it does not fit."""
        held = self.bytes(layout)
        return None if self.excess(held) else self._measured(layout, held)

    def bytes(self, layout: Layout) -> dict[str, Classes]:
        """Predicted bytes per device and class."""
        return self._held.by(layout, self._kinds, self._site.corrections)

    def excess(self, held: dict[str, Classes]) -> dict[str, int]:
        """Bytes beyond the room of each device; those with enough are left out."""
        need = {device: classes.total for device, classes in held.items()}
        need[HOST] = need.get(HOST, 0) + sum(need.get(device, 0) for device in self._unified)
        return {device: size - self._room(device) for device, size in need.items() if size > self._room(device)}

    def _room(self, device: str) -> int:
        room = self._site.rooms.get(device)
        return room.available if room is not None else 0

    def _measured(self, layout: Layout, held: dict[str, Classes]) -> Found:
        speed = speed_of(self._costs, layout)
        cost = Cost(1 / speed.decode.value, 1 / speed.prefill.value)
        return Found(self._weights.seconds(cost), layout, speed, held)

    # --- one order of GPUs ------------------------------------------------------------------------------

    def _in_order(self, order: tuple[str, ...]) -> Found | None:
        """The best layout that gives every GPU of ``order`` something.

        The sums know a device's buffers as if it had everything; the layout found is then counted exactly, and when
        it is too large after all, the search goes on with what was missing from the sums.
        """
        rooms = [self._room(device) - self._fixed(device, order) for device in order]
        on_host = self._room(HOST) - self._host_fixed(order[0])
        for _ in range(REPAIRS):
            cut = self._best_cut(order, rooms, on_host)
            if cut is None:
                return None
            layout = self._layout(order, cut)
            held = self.bytes(layout)
            over = self.excess(held)
            if not over:
                return self._measured(layout, held)
            used = self._used(cut)
            rooms = [
                min(room, size + self._room(device) - held[device].total)
                for room, size, device in zip(rooms, used, order, strict=True)
            ]
            on_host -= over.get(HOST, 0)
        return None

    def _used(self, cut: Cut) -> list[int]:
        """Bytes of the blocks that each GPU has."""
        return [
            self._dense[high] - self._dense[low] + self._experts[high] - self._experts[low + spilled]
            for low, high, spilled in zip(cut.bounds, cut.bounds[1:], cut.spilled, strict=False)
        ]

    def _alone(self, gpu: str) -> Layout:
        layout = whole(self._shape, gpu)
        return replace(layout, projector=HOST) if self._projector_on_host else layout

    def _shared_layouts(self) -> list[Layout]:
        """Every layer cut over all cards of one name: only such keep step, and only where llama.cpp has it."""
        if self._shape.architecture in NOT_CUT or not self._run.flash_attention:
            return []
        found = []
        devices = [device for device in self._site.machine.devices if device.id in self._site.usable]
        for name in dict.fromkeys(device.name for device in devices):
            alike = tuple(device.id for device in devices if device.name == name)
            if len(alike) > 1:
                share = (1 / len(alike),) * len(alike)
                found.append(replace(self._alone(alike[0]), gpus=alike, split="tensor", shares=share))
        return found

    def _fixed(self, device: str, order: tuple[str, ...]) -> int:
        """Bytes that a GPU of ``order`` holds beside blocks: buffers, its process, with the first projector and draft,
        with the last the output."""
        first, last = device == order[0], device == order[-1]
        layout = replace(
            whole(self._shape, device),
            output=device if last else HOST,
            projector=device if first and not self._projector_on_host else HOST,
            draft=device if first else HOST,
        )
        return self.bytes(layout)[device].total - self._dense[-1] - self._experts[-1]

    def _host_fixed(self, device: str) -> int:
        """Bytes on the host when a GPU has all blocks; with unified memory those blocks are there too."""
        return self.bytes(whole(self._shape, device))[HOST].total

    def _best_cut(self, order: tuple[str, ...], rooms: Sequence[int], on_host: int) -> Cut | None:
        first = self._least_on_host(rooms)
        best = None
        for bounds in _grid(first, self._count, len(order)):
            best = _better(best, self._cut(order, bounds, rooms, on_host))
        return self._refined(order, best, rooms, on_host) if best else None

    def _refined(self, order: tuple[str, ...], best: Cut, rooms: Sequence[int], on_host: int) -> Cut:
        """Move single bounds by one as long as that helps."""
        while True:
            before = best
            for at in range(1, len(order)):
                for step in (-1, 1):
                    bounds = (*before.bounds[:at], before.bounds[at] + step, *before.bounds[at + 1 :])
                    if bounds[at - 1] < bounds[at] < bounds[at + 1]:
                        best = _better(best, self._cut(order, bounds, rooms, on_host)) or best
            if best is before:
                return best

    def _least_on_host(self, rooms: Sequence[int]) -> int:
        """How many blocks must lie on the host whole: each GPU takes as many as it can, from the last backwards.

        Experts do not count when the model has some, as they can stay on the host by themselves.
        """
        high = self._count
        for room in reversed(rooms):
            high = bisect_left(self._dense, self._dense[high] - max(room, 0), 0, high)
        return high

    def _cut(self, order: tuple[str, ...], bounds: tuple[int, ...], rooms: Sequence[int], on_host: int) -> Cut | None:
        """The cut at ``bounds`` with as many experts on GPUs as fit; None when it does not fit."""
        dense, experts, routed = self._dense, self._experts, self._routed
        first, gone = bounds[0], dense[bounds[0]] + experts[bounds[0]]
        host = self._on_host(order[0])
        seconds, hops, spilled = host.dense[first] + host.experts[first], 0, []
        for device, low, high, room in zip(order, bounds, bounds[1:], rooms, strict=False):
            left = room - (dense[high] - dense[low])
            if left < 0:
                return None
            keep = bisect_left(experts, experts[high] - left, low, high)
            gone += experts[keep] - experts[low]
            time, expert_time = self._time[device], self._expert_time[device]
            seconds += time[high] - time[low]
            seconds += expert_time[high] - expert_time[keep]
            seconds += host.experts[keep] - host.experts[low]
            hops += 1 + 2 * (routed[keep] - routed[low])
            spilled.append(keep - low)
        if gone > on_host:
            return None
        seconds += self._weights.seconds(self._costs.output[order[-1]]) + hops * self._hop
        return Cut(seconds, bounds, tuple(spilled))

    def _on_host(self, borrower: str) -> _HostSeconds:
        """Running totals of what blocks and experts on the host cost when ``borrower`` is the first GPU."""
        known = self._host.get(borrower)
        if known is None:
            known = self._host[borrower] = self._host_seconds(borrower)
        return known

    def _host_seconds(self, borrower: str) -> _HostSeconds:
        costs, weights = self._costs, self._weights
        if borrower not in costs.lent_dense:
            return _HostSeconds(self._time[HOST], self._expert_time[HOST])
        lent = zip(costs.dense[HOST], costs.lent_dense[borrower], costs.attention, strict=True)
        dense = [Cost(own.decode, lent_s + attention) for own, lent_s, attention in lent]
        pairs = zip(costs.experts[HOST], costs.lent_experts[borrower], strict=True)
        experts = [Cost(own.decode, lent_s) for own, lent_s in pairs]
        return _HostSeconds(_totals(map(weights.seconds, dense)), _totals(map(weights.seconds, experts)))

    def _layout(self, order: tuple[str, ...], cut: Cut) -> Layout:
        layers, experts = [HOST] * cut.bounds[0], [HOST] * cut.bounds[0]
        for device, low, high, spilled in zip(order, cut.bounds, cut.bounds[1:], cut.spilled, strict=False):
            layers += [device] * (high - low)
            for block in range(low, high):
                away = block < low + spilled and self._routed[block + 1] > self._routed[block]
                experts.append(HOST if away else device)
        return Layout(
            gpus=order,
            layers=tuple(layers),
            experts=tuple(experts),
            output=order[-1],
            projector=HOST if self._projector_on_host else order[0],
            draft=order[0],
            split="none" if len(order) == 1 else "layer",
        )


def _totals(sizes: Iterable[Number]) -> list[Number]:
    """Running totals, from 0."""
    total: Number = 0  # an int stays one
    totals = [total]
    for size in sizes:
        total += size
        totals.append(total)
    return totals


def _better(one: Cut | None, other: Cut | None) -> Cut | None:
    if one is None or (other is not None and other.seconds < one.seconds):
        return other
    return one


def _orders(fast: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """Which GPUs, in which order: every subset of a few, of many the fastest; the fastest first, and the slowest."""
    for size in range(1, len(fast) + 1):
        subsets = combinations(fast, size) if len(fast) <= SUBSETS else [tuple(fast[:size])]
        for chosen in subsets:
            yield chosen
            if size > 1:
                yield tuple(reversed(chosen))


def _grid(first: int, count: int, gpus: int) -> Iterator[tuple[int, ...]]:
    """Bounds of ``gpus`` runs of at least one block each, from block ``first`` on; at most about :data:`GRID`."""
    inner = range(first + 1, count)
    step = 1
    while comb(len(inner[::step]), gpus - 1) > GRID:
        step += 1
    for between in combinations(inner[::step], gpus - 1):
        yield (first, *between, count)
