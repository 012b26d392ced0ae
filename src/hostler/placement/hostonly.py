"""Predicts what an instance holds in memory, by class, before anything is started.

Pure arithmetic. Every class errs to the high side, because a prediction that is too low ends in a machine
that swaps; the fleet corrects it by what the process really holds. Sources: llama.cpp's
``llama-kv-cache*.cpp``, ``ggml-common.h``, and its own log lines, with which a test compares (SmolLM2-135M
Q4_1 at 8192 tokens f16: model 92.10, KV 180.00, compute 22.64, output 0.19 MiB).
"""

from __future__ import annotations

from fractions import Fraction

import msgspec

from hostler.config.settings import CacheType
from hostler.models.facts import GgufFacts

HOST = "host"

_MIB = 2**20
_CELL_PADDING = 256
_DEFAULT_UBATCH = 512

# Bytes per element: size of a block divided by its elements (ggml-common.h).
_CACHE_BYTES: dict[CacheType, Fraction] = {
    "f32": Fraction(4),
    "f16": Fraction(2),
    "bf16": Fraction(2),
    "q8_0": Fraction(34, 32),
    "q5_1": Fraction(24, 32),
    "q5_0": Fraction(22, 32),
    "q4_1": Fraction(20, 32),
    "q4_0": Fraction(18, 32),
    "iq4_nl": Fraction(18, 32),
}

# Every Nth layer attends to everything, the others to the window (llama.cpp, `set_swa_pattern`). The header
# does not say it. For an architecture that is not here every layer is counted as attending to everything.
_FULL_LAYER_EVERY = {"gemma2": 2, "gemma3": 6, "gpt-oss": 2, "cohere2": 4}

# Measured with the embedded build: 13 MiB anonymous and 19 MiB of libraries after a load of SmolLM2, 56 MiB
# after use; Gemma 3 with its 262,144 tokens 93 MiB. Hence a constant and a share per vocabulary entry.
_RUNTIME = 80 * _MIB
_RUNTIME_PER_TOKEN = 192


class Need(msgspec.Struct, frozen=True, kw_only=True):
    """What decides the memory of an instance.

    ``context`` is tokens for one request, ``slots`` how many at once. ``checkpoints`` is the engine's
    --ctx-checkpoints per slot; ``prompt_cache`` its --cache-ram in bytes; ``projector`` the size of the
    projector file. ``flash_attention`` off costs a full attention matrix.
    """

    facts: GgufFacts
    context: int
    slots: int = 1
    cache_type_k: CacheType = "f16"
    cache_type_v: CacheType = "f16"
    ubatch: int = _DEFAULT_UBATCH
    prompt_cache: int = 0
    checkpoints: int = 0
    projector: int = 0
    flash_attention: bool = True


class Breakdown(msgspec.Struct, frozen=True, kw_only=True):
    """Predicted bytes by class, all on one device."""

    weights: int
    kv: int
    recurrent: int
    compute: int
    output: int
    checkpoints: int
    prompt_cache: int
    projector: int
    runtime: int

    @property
    def total(self) -> int:
        """The sum of all classes."""
        return sum(msgspec.structs.astuple(self))


def estimate(need: Need) -> dict[str, int]:
    """Predicted bytes per device; everything lies in host memory here."""
    return {HOST: breakdown(need).total}


def breakdown(need: Need) -> Breakdown:
    """Predicted bytes by class.

    *Weights* are the tensors once. A build may repack tensors for this CPU and then holds a copy of them
    beside the mapped file; the pages of the file behind such tensors are clean and not read again, so the
    kernel takes them back, and counting both would refuse models that run.
    """
    facts = need.facts
    return Breakdown(
        weights=facts.tensor_bytes,
        kv=_kv(need),
        recurrent=facts.recurrent_bytes * need.slots,
        compute=_compute(need),
        output=4 * need.slots * (facts.vocabulary + facts.embedding_length),
        checkpoints=_checkpoints(need),
        prompt_cache=need.prompt_cache,
        projector=need.projector,
        runtime=_RUNTIME + _RUNTIME_PER_TOKEN * facts.vocabulary,
    )


def window_layers(facts: GgufFacts) -> tuple[bool, ...]:
    """For each layer whether it attends only to the sliding window.

    Source: llama.cpp, ``swa_layers[il] = il % n_pattern < n_pattern - 1``. All False when it is not known
    which layers do: more memory is then predicted than used.
    """
    every = _FULL_LAYER_EVERY.get(facts.architecture, 0) if facts.sliding_window else 0
    return tuple(bool(every) and layer % every < every - 1 for layer in range(facts.layers))


def _kv(need: Need) -> int:
    """Cells times bytes per cell, over all layers.

    Source: llama.cpp. A slot has ``context`` cells, padded to 256; in a layer with a sliding window
    ``min(cells, pad(window + ubatch))`` (``llama_kv_cache_iswa``).
    """
    full = _padded(need.context)
    window = min(full, _padded((need.facts.sliding_window or 0) + need.ubatch))
    per_head = _cell_bytes(need)
    layers = zip(need.facts.kv_heads, window_layers(need.facts), strict=True)
    heads_and_cells = sum(heads * (window if windowed else full) for heads, windowed in layers)
    return _ceil(per_head * heads_and_cells * need.slots)


def _cell_bytes(need: Need) -> Fraction:
    """Key and value of one head for one token."""
    keys = need.facts.key_length * _CACHE_BYTES[need.cache_type_k]
    return keys + need.facts.value_length * _CACHE_BYTES[need.cache_type_v]


def _compute(need: Need) -> int:
    """The scratch memory of one ubatch.

    Per token of a ubatch: the attention mask of one slot (f16, twice), sixteen rows of the embedding's width
    in f32 (the feed-forward part is 2.7 to 4 times as wide as the embedding and needs a few of those), and
    without flash attention a row of scores per head; and the logits of every slot. Checked against logs
    (prediction/log, MiB): SmolLM2 34/23 at 8192, 20/16 at 2 x 1024, Gemma 3 270M 30/23 at 2 x 4096, an 8B
    145/124.
    """
    facts = need.facts
    cells = _padded(need.context)
    scores = 0 if need.flash_attention else 4 * facts.heads * cells
    per_token = 4 * cells + 4 * 16 * facts.embedding_length + scores
    return min(need.ubatch, cells) * per_token + 4 * facts.vocabulary * need.slots


def _checkpoints(need: Need) -> int:
    """Copies of what cannot be rolled back: the windows and recurrent states of a slot.

    Source: llama.cpp's server; measured 7.5 MiB each for Gemma 3 270M (15 layers, window 512). Models with
    neither make none. The number is the engine's own bound, reached only by long conversations.
    """
    facts = need.facts
    cells = min(facts.sliding_window or 0, need.context)
    windowed = window_layers(facts)
    heads = sum(heads for heads, inside in zip(facts.kv_heads, windowed, strict=True) if inside)
    return need.checkpoints * need.slots * (_ceil(_cell_bytes(need) * heads * cells) + facts.recurrent_bytes)


def _padded(cells: int) -> int:
    return -(-cells // _CELL_PADDING) * _CELL_PADDING


def _ceil(number: Fraction) -> int:
    return -(-number.numerator // number.denominator)
