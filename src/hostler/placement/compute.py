"""The scratch memory in which a device computes one micro-batch.

llama.cpp's graph allocator (``ggml_gallocr``) reuses what is no longer needed, so that the widest moment of the widest
layer decides, and beside it what is kept: rows of the embedding's width, the attention masks, and copies of both where
several cards work at once. Which moment that is and what is kept beside it was found by asking the engine's own dry run
about models that were varied one number at a time, on one device and on several (``docs/benchmarks/placement.md``).
Everything is f32 but the attention mask, which is f16 with flash attention.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from hostler.hardware.facts import Kind
from hostler.models.shape import Layer, ModelShape
from hostler.placement.cache import cells_of, padded, tokens_at_once, window_cells
from hostler.placement.layout import HOST, Layout, Run

_F32: Final = 4
_F16: Final = 2
_ROTATION: Final = 64
# Token, position, places in the cache, which tokens get outputs.
_INDICES: Final = 64

# Rows of the embedding's width that are kept beside the widest moment: where the whole model is on the host, on a host
# with some layers, on a card, and where a host only prepares inputs or computes routed experts.
_ROWS_ALONE: Final = 4
_ROWS_HOST: Final = 3
_ROWS_CARD: Final = 2
_ROWS_INPUT: Final = 2

# Cards that work at once each hold this many copies of what is passed to them (GGML_SCHED_MAX_COPIES).
_COPIES: Final = 4
# More rows that a card then holds: the first gets one tensor, the others two; the host one.
_COPIED_FIRST, _COPIED_LATER, _COPIED_HOST = 4, 8, 3

# Architectures whose queries are twice as wide, because they carry a gate.
_GATED: Final = frozenset({"qwen3next", "qwen35", "qwen35moe"})

# Cards whose engine computes long prompts with weights that lie on the host, of which it then holds a copy
# (``op_offload``: the first card, from 32 tokens on). The largest of a layer's dense tensors is at most this share.
_OFFLOADING: Final = frozenset({"nvidia", "amd"})
_LARGEST_TENSOR: Final = 0.45


class _Part(NamedTuple):
    """Layers that compute alike: one of them, whether its dense part is here, its experts, and what is copied in."""

    layer: Layer
    dense: bool
    routed: bool
    copied: int = 0


class Scratch:
    """Scratch memory of one run of one model; what no layout changes is counted once."""

    def __init__(self, shape: ModelShape, run: Run) -> None:
        self._shape, self._run = shape, run
        self._masks = _masks(shape, run)
        self._tensor = int(_LARGEST_TENSOR * max(layer.feed_forward for layer in shape.layers))
        kinds: dict[tuple[object, ...], int] = {}
        self._alike = [kinds.setdefault(_kind(layer), len(kinds)) for layer in shape.layers]

    def of(self, layout: Layout, traits: Mapping[str, Kind]) -> dict[str, int]:
        """Bytes per device of the layout, the host included.

        ``traits`` decides whether the first GPU computes prompts with the host's weights. For a GPU it is a prior: the
        allocator is the same, but what a backend fuses is not.
        """
        parts, fed = self._parts(layout, traits), _fed(layout)
        return {
            device: _on(device, parts[device], (self._masks, device in fed), self._shape, self._run, layout)
            for device in layout.devices
        }

    def _parts(self, layout: Layout, traits: Mapping[str, Kind]) -> dict[str, list[_Part]]:
        """What each device computes; layers that compute alike only once."""
        shape, found = self._shape, {device: list[_Part]() for device in layout.devices}
        helper = next((gpu for gpu in layout.gpus[:1] if traits.get(gpu, "nvidia") in _OFFLOADING), None)
        first: dict[tuple[int, str, str], int] = {}
        for index, alike in enumerate(zip(self._alike, layout.layers, layout.experts, strict=True)):
            first.setdefault(alike, index)
        for (_, at, experts), index in first.items():
            layer = shape.layers[index]
            if layer.prediction:
                continue
            routed = layer.experts > 0
            for device in layout.gpus if layout.split == "tensor" and at != HOST else (at,):
                found[device].append(_Part(layer, True, routed and experts == at))
            if routed and experts != at:
                found[experts].append(_Part(layer, False, True))
            if helper and (at == HOST or (routed and experts == HOST)):
                copied = shape.expert_tensor if routed and experts == HOST else self._tensor
                found[helper].append(_Part(layer, at == HOST, routed and experts == HOST, copied))
        return found


def compute_of(shape: ModelShape, run: Run, layout: Layout, traits: Mapping[str, Kind]) -> dict[str, int]:
    """As :meth:`Scratch.of`."""
    return Scratch(shape, run).of(layout, traits)


def _kind(layer: Layer) -> tuple[object, ...]:
    """What layers that compute alike have in common."""
    return layer.memory, layer.query_width, layer.state_bytes, layer.experts > 0, layer.prediction


def outputs_of(shape: ModelShape, run: Run) -> int:
    """Tokens whose logits are computed at once: one per slot; all of a micro-batch where answers are vectors."""
    if is_encoder(shape):
        return 0
    return tokens_at_once(run) if run.pooled else run.slots


def is_encoder(shape: ModelShape) -> bool:
    """Whether the model keeps nothing between calls; such a model has no output matrix."""
    return all(layer.memory == "none" for layer in shape.layers)


def copies_of(layout: Layout) -> int:
    """How many micro-batches are under way at once.

    Source: llama.cpp, ``llama_context``: several cards, split by layer, nothing at all on the host.
    """
    on_host = HOST in layout.layers or HOST in layout.experts or layout.output == HOST
    return _COPIES if len(layout.gpus) > 1 and layout.split == "layer" and not on_host else 1


def _on(device: str, parts: list[_Part], known: tuple[int, bool], shape: ModelShape, run: Run, layout: Layout) -> int:
    """``known``: bytes of the masks, and whether the host hands over to the device."""
    masks, fed = known
    copies, tokens = copies_of(layout), tokens_at_once(run)
    if not parts and device != HOST and layout.output != device:
        return 0
    alone = not layout.gpus
    moment = max((_moment(part, fed, shape, run, layout) for part in parts), default=0)
    if layout.output == device:
        moment = max(moment, _F32 * outputs_of(shape, run) * (shape.vocabulary + shape.embedding))
    rows = _F32 * shape.embedding * (_kept(device, parts, alone) + (_copied(device, layout) if copies > 1 else 0))
    return tokens * (rows + _INDICES) + masks * copies + moment


def _kept(device: str, parts: list[_Part], alone: bool) -> int:
    if device != HOST:
        return _ROWS_CARD
    if not any(part.dense for part in parts):
        return _ROWS_INPUT
    return _ROWS_ALONE if alone else _ROWS_HOST


def _copied(device: str, layout: Layout) -> int:
    if device == HOST:
        return _COPIED_HOST
    return _COPIED_FIRST if layout.layers[0] == device else _COPIED_LATER


def _moment(part: _Part, fed: bool, shape: ModelShape, run: Run, layout: Layout) -> int:
    """The widest moment of a part in bytes: its network, its attention, or its recurrent state."""
    layer, tokens = part.layer, tokens_at_once(run)
    width, states = _network(part, fed, shape, layout), 0
    if part.dense and layer.memory not in ("recurrent", "none"):
        width = max(width, shape.embedding + max(_attention(layer, shape, run), shape.embedding))
    if part.dense and layer.state_bytes:
        # Each slot's state as it was and as it becomes.
        states = _F32 * tokens * (shape.embedding + layer.recurrent_width) + 2 * layer.state_bytes * run.slots
    return max(_F32 * tokens * width, states) + part.copied


def _network(part: _Part, fed: bool, shape: ModelShape, layout: Layout) -> int:
    """Elements per token: of the experts, the dense network, or what comes back from experts elsewhere."""
    embedding = shape.embedding
    if not part.dense:
        return _routed(shape) + embedding // 4
    beside = _beside(part.layer, shape, layout)
    if part.routed:
        return _routed(shape) + beside + (embedding * 3 // 2 if fed else 0)
    if part.layer.experts:
        return 2 * shape.active * embedding + beside
    return 3 * shape.feed_forward_width + beside


def _fed(layout: Layout) -> set[str]:
    """The cards that go on from where the host left off, between layers or after experts."""
    between = zip(layout.layers, layout.layers[1:], strict=False)
    within = zip(layout.experts, layout.layers, strict=True)
    return {then for before, then in {*between, *within} if before == HOST} - {HOST}


def _beside(layer: Layer, shape: ModelShape, layout: Layout) -> int:
    """What attention left, which stays beside the network that follows; the host alone reuses it."""
    if not layout.gpus or shape.architecture in _GATED:
        return shape.embedding
    return max(shape.embedding, layer.query_width // (4 if layer.memory == "mla" else 2))


def _routed(shape: ModelShape) -> int:
    """Gate, up and their product for each active expert; what comes down fits where two of them were, or not."""
    product = 3 * shape.active * shape.expert_width
    return product + (shape.active * shape.embedding if shape.embedding > 2 * shape.expert_width else 0)


def _attention(layer: Layer, shape: ModelShape, run: Run) -> int:
    """Queries before and after rotation, or beside their gate; for MLA also as wide as the compressed rows."""
    if not run.flash_attention:
        cells = window_cells(shape, run) if layer.memory == "window" else cells_of(run)
        return shape.heads * cells + 2 * layer.query_width
    if layer.memory == "mla":
        return layer.query_width * 5 // 4
    return layer.query_width * (2 if shape.architecture in _GATED else 1)


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
