"""The scratch memory in which a device computes one micro-batch.

llama.cpp's graph allocator (``ggml_gallocr``) reuses what is no longer needed, so that the widest moment of the widest
layer decides; which moment that is, and how many rows of the embedding's width are kept beside it, was found by asking
the engine's own dry run about models that were varied one number at a time (``docs/benchmarks/placement.md``).
Everything is f32 but the attention mask, which is f16 with flash attention.
"""

from __future__ import annotations

from typing import Final

from hostler.models.shape import Layer, ModelShape
from hostler.placement.cache import cells_of, padded, tokens_at_once, window_cells
from hostler.placement.layout import HOST, Layout, Run

_F32 = 4
_F16 = 2
_ROTATION = 64
# Token, position, places in the cache, which tokens get outputs.
_INDICES = 64

# Rows of the embedding's width beside the widest moment, where the whole model is computed on one device.
_ROWS: Final = 5
# On the host when it only prepares the inputs of a GPU.
_INPUT_ROWS: Final = 2

# Architectures whose queries are twice as wide, because they carry a gate.
_GATED: Final = frozenset({"qwen3next", "qwen35", "qwen35moe"})


def compute_of(shape: ModelShape, run: Run, layout: Layout) -> dict[str, int]:
    """Bytes per device of the layout, the host included."""
    return {device: _on(device, shape, run, layout) for device in layout.devices}


def _on(device: str, shape: ModelShape, run: Run, layout: Layout) -> int:
    tokens = tokens_at_once(run)
    widest, attends = _widest(device, shape, run, layout)
    computes = widest > 0
    rows = _ROWS if computes else _INPUT_ROWS if device == HOST else 0
    if not rows:
        return 0
    masks = _masks(shape, run) if attends or device == HOST else 0
    kept = tokens * (_F32 * rows * shape.embedding + _INDICES) + masks
    moment = _F32 * tokens * widest
    if computes:
        moment = max(moment, _states(device, shape, run, layout))
    if layout.output == device:
        moment = max(moment, _F32 * outputs_of(shape, run) * (shape.vocabulary + shape.embedding))
    return kept + moment


def outputs_of(shape: ModelShape, run: Run) -> int:
    """Tokens whose logits are computed at once: one per slot; all of a micro-batch where answers are vectors."""
    if is_encoder(shape):
        return 0
    return tokens_at_once(run) if run.pooled else run.slots


def is_encoder(shape: ModelShape) -> bool:
    """Whether the model keeps nothing between calls; such a model has no output matrix."""
    return all(layer.memory == "none" for layer in shape.layers)


def _widest(device: str, shape: ModelShape, run: Run, layout: Layout) -> tuple[int, bool]:
    """Elements per token at the widest moment on ``device``, and whether any layer there attends."""
    widest, attends = 0, False
    seen: set[tuple[str, bool, bool, bool]] = set()
    for layer, at, experts in zip(shape.layers, layout.layers, layout.experts, strict=True):
        here, routed = at == device or layout.split == "tensor", experts == device and layer.experts > 0
        kind = (layer.memory, here, routed, layer.experts > 0)
        if layer.prediction or not (here or routed) or kind in seen:
            continue
        seen.add(kind)
        attends = attends or (here and layer.memory not in ("recurrent", "none"))
        widest = max(widest, _routed(shape) if routed else 0, _dense(layer, shape, run) if here else 0)
    return widest, attends


def _routed(shape: ModelShape) -> int:
    """Gate, up and their product for each active expert; what comes down fits where two of them were, or not."""
    product = 3 * shape.active * shape.expert_width
    return product + (shape.active * shape.embedding if shape.embedding > 2 * shape.expert_width else 0)


def _dense(layer: Layer, shape: ModelShape, run: Run) -> int:
    width = 0 if layer.experts else 3 * shape.feed_forward_width
    if layer.memory in ("recurrent", "none"):
        return max(width, shape.embedding)
    return max(width, _attention(layer, shape, run), shape.embedding)


def _attention(layer: Layer, shape: ModelShape, run: Run) -> int:
    """Queries before and after rotation, or beside their gate; for MLA also as wide as the compressed rows."""
    if not run.flash_attention:
        cells = window_cells(shape, run) if layer.memory == "window" else cells_of(run)
        return shape.heads * cells + 2 * layer.query_width
    if layer.memory == "mla":
        return layer.query_width * 5 // 4
    return layer.query_width * (2 if shape.architecture in _GATED else 1)


def _states(device: str, shape: ModelShape, run: Run, layout: Layout) -> int:
    """What a recurrent layer needs: its width per token, and each slot's state as it was and as it becomes."""
    found = 0
    for layer, at in zip(shape.layers, layout.layers, strict=True):
        if layer.state_bytes and not layer.prediction and (at == device or layout.split == "tensor"):
            width = _F32 * tokens_at_once(run) * layer.recurrent_width
            found = max(found, width + 2 * layer.state_bytes * run.slots)
    return found


def _masks(shape: ModelShape, run: Run) -> int:
    """The attention masks of one slot, for layers that attend to everything and for windowed ones; rotations of heads.

    A quantised cache is rotated first, keys by a matrix of a head's size, values by one of 64.
    """
    kinds = {layer.memory for layer in shape.layers if not layer.prediction}
    element, tokens = _F16 if run.flash_attention else _F32, tokens_at_once(run)
    sizes = []
    if kinds & {"full", "mla"}:
        sizes.append(cells_of(run))
    if "window" in kinds:
        sizes.append(window_cells(shape, run))
    if not sizes and "recurrent" not in kinds:
        sizes.append(padded(tokens))  # an encoder: every token of the batch sees the others
    return element * tokens * sum(sizes) + len(sizes) * _rotation(shape, run)


def _rotation(shape: ModelShape, run: Run) -> int:
    if run.cache_k in ("f32", "f16", "bf16") and run.cache_v in ("f32", "f16", "bf16"):
        return 0
    widths = max((layer.query_width for layer in shape.layers if layer.memory in ("full", "window")), default=0)
    head = widths // max(shape.heads, 1) // 2
    size = head & -head
    return _F32 * (size * size + _ROTATION * _ROTATION)
