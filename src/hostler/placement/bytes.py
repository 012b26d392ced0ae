"""Predicts what an instance holds in memory, per device and class, before anything is started.

Pure arithmetic. Weights, caches and states are exact to what the engine rounds; scratch memory is a formula found with
the engine's own dry run (:mod:`hostler.placement.compute`); what a process takes beside is measured or a prior, named
where it stands. Classes are kept apart because opposite errors would cancel in a total. What real loads report corrects
the classes that are not exact (:mod:`hostler.placement.corrections`). ``docs/benchmarks/placement.md`` has the errors.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import accumulate, groupby
from typing import Final

import msgspec

from hostler.hardware.facts import Kind
from hostler.models.shape import ModelShape
from hostler.placement.cache import checkpoints_of, kv_of, states_of, tokens_at_once
from hostler.placement.compute import Scratch, is_encoder
from hostler.placement.corrections import NONE, Corrections
from hostler.placement.layout import HOST, Layout, Run, whole

_MIB: Final = 2**20
_F32: Final = 4

# Measured with the embedded build: 13 MiB anonymous and 19 MiB of libraries after a load of SmolLM2, 56 MiB after use;
# Gemma 3 with its 262,144 tokens 93 MiB. Hence a constant and a share per vocabulary entry.
_PROCESS: Final = 80 * _MIB
_PROCESS_PER_TOKEN: Final = 192

# What a process takes on each card that it uses, beside the engine's buffers. A prior (hundreds of MiB for CUDA: its
# context, its kernels and cuBLAS' workspace), corrected by what loads show; Metal keeps little of its own.
_PER_CARD: Final[dict[Kind, int]] = {"nvidia": 450 * _MIB, "amd": 450 * _MIB, "apple": 64 * _MIB, "host": 0}

# Scratch memory of a projector for one large image, as a share of its file and a rest. A prior from one model: the
# engine expects 1999 MiB of Qwen2.5-VL-7B's, whose file has 1294 (``mtmd_get_memory_usage``).
_PROJECTOR_SHARE: Final = 0.6
_PROJECTOR_REST: Final = 64 * _MIB


class Classes(msgspec.Struct, frozen=True, kw_only=True):
    """Bytes on one device by class.

    ``mapped`` is the token embedding, and those per layer, on the host and in a mapped file: only rows that are read
    become resident.
    ``output`` is the host's buffer of logits, ``compute`` includes what the output needs on its device. ``projector``
    and ``draft`` are everything of theirs. ``runtime`` is what the process takes beside the engine's buffers.
    """

    weights: int = 0
    mapped: int = 0
    kv: int = 0
    recurrent: int = 0
    compute: int = 0
    output: int = 0
    projector: int = 0
    draft: int = 0
    checkpoints: int = 0
    prompt_cache: int = 0
    runtime: int = 0

    @property
    def total(self) -> int:
        """The sum of all classes."""
        return sum(msgspec.structs.astuple(self))


class Pieces(msgspec.Struct, frozen=True):
    """Bytes per layer, in the model's order: what can be put on one device or another.

    ``dense`` is all weights but routed experts, ``experts`` those, ``cache`` keys, values and states of all slots.
    Layers for multi-token prediction are 0: the engine skips their tensors (``load_mtp`` is false).
    """

    dense: tuple[int, ...]
    experts: tuple[int, ...]
    cache: tuple[int, ...]


class _PerLayer:
    """Bytes per layer, and their sums over layers that follow each other."""

    def __init__(self, sizes: Iterable[int]) -> None:
        self.sizes = tuple(sizes)
        self._until = (0, *accumulate(self.sizes))

    def spread(self, places: tuple[str, ...], layout: Layout) -> dict[str, int]:
        """What lies on each device of ``layout`` when each layer is at its place."""
        found = dict.fromkeys(layout.devices, 0)
        if layout.split == "tensor":
            for size, device in zip(self.sizes, places, strict=True):
                _add(found, size, device, layout)
            return found
        at = 0
        for device, here in groupby(places):
            low, at = at, at + len(list(here))
            found[device] += self._until[at] - self._until[low]
        return found


class Held:
    """What one run of one model holds; what no layout changes is counted once, so that a layout costs little."""

    def __init__(self, shape: ModelShape, run: Run) -> None:
        self._shape, self._run = shape, run
        self._dense = _PerLayer(0 if layer.prediction else layer.weights - layer.experts for layer in shape.layers)
        self._experts = _PerLayer(0 if layer.prediction else layer.experts for layer in shape.layers)
        self._kv, self._states = _PerLayer(kv_of(shape, run)), _PerLayer(states_of(shape, run))
        self._checkpoints = checkpoints_of(shape, run)
        self._scratch = Scratch(shape, run)
        self._draft = None if run.draft is None else Held(run.draft, _drafting(run))

    @property
    def pieces(self) -> Pieces:
        """What each layer takes wherever it lies."""
        caches = zip(self._kv.sizes, self._states.sizes, strict=True)
        return Pieces(self._dense.sizes, self._experts.sizes, tuple(kv + state for kv, state in caches))

    def by(self, layout: Layout, traits: Mapping[str, Kind], corrections: Corrections = NONE) -> dict[str, Classes]:
        """As :func:`bytes_of`."""
        shape, run = self._shape, self._run
        if not len(layout.layers) == len(layout.experts) == len(shape.layers):
            raise ValueError(f"a layout of {len(layout.layers)} layers for a model of {len(shape.layers)}")
        kinds: dict[str, Kind] = {device: traits.get(device, "nvidia") for device in layout.gpus} | {HOST: "host"}
        compute, weights, drafts = self._scratch.of(layout, kinds), self._weights(layout), self._drafts(layout)
        kv, recurrent = self._kv.spread(layout.layers, layout), self._states.spread(layout.layers, layout)
        return {
            device: corrections.applied(
                kind,
                Classes(
                    weights=weights[device] + (0 if run.mapped else _table(device, shape, layout)),
                    mapped=_table(device, shape, layout) if run.mapped else 0,
                    kv=kv[device],
                    recurrent=recurrent[device],
                    compute=compute[device],
                    output=_output(shape, run) if device == HOST else 0,
                    projector=_projector(run) if device == layout.projector else 0,
                    draft=drafts.get(device, 0),
                    checkpoints=self._checkpoints if device == HOST else 0,
                    prompt_cache=run.prompt_cache if device == HOST else 0,
                    runtime=_PROCESS + _PROCESS_PER_TOKEN * shape.vocabulary if device == HOST else _PER_CARD[kind],
                ),
            )
            for device, kind in kinds.items()
        }

    def _drafts(self, layout: Layout) -> dict[str, int]:
        """Everything of the draft model but the process that it shares; on a GPU its embedding stays on the host."""
        if self._run.draft is None or self._draft is None:
            return {}
        found = self._draft.by(whole(self._run.draft, layout.draft), {})
        return {device: classes.total - classes.runtime for device, classes in found.items()}

    def _weights(self, layout: Layout) -> dict[str, int]:
        """All but the token embedding, per device.

        A tied output is the embedding once more where the output lies; on the host it is the same memory
        (:func:`_table`). What belongs to no layer goes with the output (norms), which is exact to a few KiB.
        """
        found, shape = self._dense.spread(layout.layers, layout), self._shape
        for device, size in self._experts.spread(layout.experts, layout).items():
            found[device] += size
        _add(found, shape.other + (0 if is_encoder(shape) else shape.output), layout.output, layout)
        return found


def pieces(shape: ModelShape, run: Run) -> Pieces:
    """What each layer takes wherever it lies."""
    return Held(shape, run).pieces


def bytes_of(
    shape: ModelShape, run: Run, layout: Layout, traits: Mapping[str, Kind], corrections: Corrections = NONE
) -> dict[str, Classes]:
    """Bytes by class for each device of ``layout``, the host always among them.

    ``traits`` tells the kind of each device; one that is not in it counts as the most expensive kind. Weights on the
    host are counted once: a build may repack tensors for this CPU and then holds a copy beside the mapped file, but
    the pages of the file behind such tensors are clean and not read again, so the kernel takes them back, and counting
    both would refuse models that run. ``ValueError`` when the layout has not as many layers as the model.
    """
    return Held(shape, run).by(layout, traits, corrections)


def _table(device: str, shape: ModelShape, layout: Layout) -> int:
    """What rows are looked up in lies on the host whatever the layout (``LLM_TENSOR_LAYER_INPUT``).

    The token embedding among it is counted as the output where both are one on the host.
    """
    if device != HOST:
        return 0
    counted = shape.tied and layout.output == HOST and not is_encoder(shape)
    return shape.input - shape.output if counted else shape.input


def _add(found: dict[str, int], size: int, device: str, layout: Layout) -> None:
    """Put ``size`` on ``device``; with a split by tensor every GPU gets its share of what would lie on one."""
    if layout.split != "tensor" or device == HOST:
        found[device] += size
        return
    for gpu, share in zip(layout.gpus, layout.shares, strict=True):
        found[gpu] += int(size * share)


def _output(shape: ModelShape, run: Run) -> int:
    """Logits that the engine hands out. Source: ``llama_context::output_reserve``; vectors come beside them."""
    if run.pooled:
        return _F32 * tokens_at_once(run) * (shape.vocabulary + shape.embedding)
    return _F32 * run.slots * shape.vocabulary


def _projector(run: Run) -> int:
    return run.projector + int(_PROJECTOR_SHARE * run.projector) + _PROJECTOR_REST if run.projector else 0


def _drafting(run: Run) -> Run:
    """The run of the model that drafts for ``run``."""
    return Run(
        context=run.context, slots=run.slots, batch=run.batch, ubatch=run.ubatch, flash_attention=run.flash_attention,
        mapped=run.mapped,
    )  # fmt: skip
