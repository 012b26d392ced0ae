"""What one token asks of each layer: bytes to read, weights to multiply with, cells to attend to. No device yet."""

from __future__ import annotations

from typing import Final, NamedTuple

from hostler.config.settings import CacheType
from hostler.models.shape import Layer, ModelShape
from hostler.placement.layout import Run

# Bytes per element: a block's size by its elements (ggml-common.h).
CELL_BYTES: Final[dict[CacheType, float]] = {
    "f32": 4.0, "f16": 2.0, "bf16": 2.0, "q8_0": 34 / 32, "q5_1": 24 / 32, "q5_0": 22 / 32, "q4_1": 20 / 32,
    "q4_0": 18 / 32, "iq4_nl": 18 / 32,
}  # fmt: skip
# A delta rule per element of the state (4 bytes): decay, read, correct, read out, each a multiply and an add.
_PER_STATE_BYTE = 2.0


class LayerWork(NamedTuple):
    """One layer and one token.

    ``dense`` bytes and ``weights`` (elements) of all but routed experts. ``experts`` is bytes of all routed experts,
    ``active`` of those that one token uses, ``chosen`` their elements. ``cache`` is bytes of keys, values and states
    read (states written too), ``mixing`` the operations of attention and states.
    """

    dense: float
    weights: float
    experts: float
    active: float
    chosen: float
    cache: float
    mixing: float


class Output(NamedTuple):
    """The output matrix: bytes and elements."""

    bytes: float
    weights: float


class Work(NamedTuple):
    """A whole model: layers that are not run ask nothing.

    ``tokens`` is how many a ubatch of a long prompt has; ``touched`` the share of the routed experts that it uses,
    ``per_expert`` how many of its tokens an expert gets.
    """

    layers: tuple[LayerWork, ...]
    output: Output
    tokens: int
    touched: float
    per_expert: float


_NOTHING = LayerWork(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)


def work_of(shape: ModelShape, run: Run, depth: int) -> Work:
    """The work of a token that comes after ``depth`` others.

    Elements are not known per layer: the active parameters are shared out by active bytes, so that their sum holds.
    """
    share = min(shape.active, shape.experts) / shape.experts if shape.experts else 1.0
    read = shape.output + sum(
        layer.weights - layer.experts * (1 - share) for layer in shape.layers if not layer.prediction
    )
    per_byte = shape.active_parameters / read if read else 0.0
    tokens = max(1, min(run.ubatch, run.batch))
    return Work(
        layers=tuple(_layer(layer, shape, run, depth, (share, per_byte)) for layer in shape.layers),
        output=Output(shape.output, shape.output * per_byte),
        tokens=tokens,
        touched=1 - (1 - share) ** tokens,
        per_expert=tokens * share,
    )


def _layer(layer: Layer, shape: ModelShape, run: Run, depth: int, rates: tuple[float, float]) -> LayerWork:
    if layer.prediction:
        return _NOTHING
    share, per_byte = rates
    cells = 1 + (min(depth, shape.window) if layer.memory == "window" and shape.window else depth)
    dense = layer.weights - layer.experts
    width = layer.key_width * CELL_BYTES[run.cache_k] + layer.value_width * CELL_BYTES[run.cache_v]
    return LayerWork(
        dense=dense,
        weights=dense * per_byte,
        experts=layer.experts,
        active=layer.experts * share,
        chosen=layer.experts * share * per_byte,
        cache=width * cells + 2 * layer.state_bytes,
        mixing=2 * layer.query_width * cells + _PER_STATE_BYTE * layer.state_bytes,
    )
