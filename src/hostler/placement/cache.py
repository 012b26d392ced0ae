"""What the engine remembers of the conversations: cells of keys and values, recurrent states, checkpoints.

Source: llama.cpp, ``llama_context`` (each slot's context is padded to 256), ``llama_kv_cache_iswa`` (how many cells a
windowed layer gets), ``ggml-common.h`` (blocks), ``llama_memory_recurrent`` (one state per slot).
"""

from __future__ import annotations

from typing import Final

from hostler.config.settings import CacheType
from hostler.models.shape import Layer, ModelShape
from hostler.placement.layout import Run

# Bytes and elements of a block (ggml-common.h).
BLOCKS: Final[dict[CacheType, tuple[int, int]]] = {
    "f32": (4, 1),
    "f16": (2, 1),
    "bf16": (2, 1),
    "q8_0": (34, 32),
    "q5_1": (24, 32),
    "q5_0": (22, 32),
    "q4_1": (20, 32),
    "q4_0": (18, 32),
    "iq4_nl": (18, 32),
}

_PADDING = 256


def padded(cells: int) -> int:
    """The next multiple of 256."""
    return -(-cells // _PADDING) * _PADDING


def tokens_at_once(run: Run) -> int:
    """Tokens in a full micro-batch: at most the batch, and at most what all slots hold."""
    return min(run.ubatch, run.batch, padded(run.context) * run.slots)


def cells_of(run: Run) -> int:
    """Cells that one slot has in a layer that attends to everything."""
    return padded(run.context)


def window_cells(shape: ModelShape, run: Run) -> int:
    """Cells that one slot has in a windowed layer: the window and one micro-batch; 0 without a window."""
    if not shape.window:
        return 0
    return min(cells_of(run), padded(shape.window + min(run.ubatch, run.batch)))


def cache_bytes(layer: Layer, cells: int, run: Run) -> int:
    """Keys and values of ``cells`` tokens in one layer; 0 where it keeps none."""
    keys, key_block = BLOCKS[run.cache_k]
    values, value_block = BLOCKS[run.cache_v]
    return cells * (layer.key_width * keys // key_block + layer.value_width * values // value_block)


def kv_of(shape: ModelShape, run: Run) -> tuple[int, ...]:
    """Bytes of keys and values per layer, over all slots."""
    every, windowed = cells_of(run), window_cells(shape, run)
    return tuple(
        cache_bytes(layer, (windowed if layer.memory == "window" else every) * run.slots, run) for layer in shape.layers
    )


def states_of(shape: ModelShape, run: Run) -> tuple[int, ...]:
    """Bytes of recurrent state per layer, over all slots; f32 whatever the cache's type."""
    return tuple(layer.state_bytes * run.slots for layer in shape.layers)


def checkpoints_of(shape: ModelShape, run: Run) -> int:
    """Copies of what cannot be rolled back, on the host: the windows and the recurrent states of a slot.

    Source: llama.cpp's server, ``create_checkpoint``; measured 7.5 MiB each for Gemma 3 270M (15 layers, window 512).
    The number of checkpoints is the engine's bound, reached only by long conversations.
    """
    cells = min(shape.window, cells_of(run))
    windows = sum(cache_bytes(layer, cells, run) for layer in shape.layers if layer.memory == "window")
    return run.checkpoints * run.slots * (windows + sum(layer.state_bytes for layer in shape.layers))
