"""How each layer of a model remembers, from the keys of its header.

Source of every rule: llama.cpp, ``src/llama-hparams.cpp`` (sizes), ``src/models/*.cpp`` (``load_arch_hparams``: which
layers are windowed or recurrent) and ``llama_model::create_memory`` (which layers get a cache).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from hostler.models.architectures import (
    ALL_RECURRENT,
    ENCODERS,
    FIXED_WINDOW,
    FULL_EVERY,
    KNOWN,
    RECURRENT_WITHOUT_KV,
    WINDOW_BY_PATTERN,
    WINDOW_PERIOD,
    WITH_INDEXER,
)
from hostler.models.keys import Keys
from hostler.models.shape import Memory

_F32 = 4
_DELTA_RULE = ("qwen3next", "qwen35", "qwen35moe")


class Remembering(NamedTuple):
    """One layer's part of a :class:`hostler.models.shape.Layer`."""

    memory: Memory
    key_width: int
    value_width: int
    state_bytes: int
    recurrent_width: int = 0


class Memories(NamedTuple):
    """All layers, the size of the sliding window (0: none), and what of it is a guess."""

    layers: tuple[Remembering, ...]
    window: int
    guesses: tuple[str, ...]


class _Heads(NamedTuple):
    """``kv`` has one number per layer, the sizes are per head: of all layers, and of windowed ones."""

    kv: tuple[int, ...]
    key: int
    value: int
    window_key: int
    window_value: int


class _Kind(NamedTuple):
    """What is known of one layer beside its heads. ``ahead``: for multi-token prediction."""

    ahead: bool
    windowed: bool
    recurrent: bool
    cached: bool
    attends: bool


def memories(keys: Keys, layers: int, tensors: Sequence[frozenset[str]]) -> Memories:
    """How each of ``layers`` blocks remembers; ``tensors`` are the names in each, behind ``blk.N.``.

    The first rule that applies to a layer decides:

    1. An encoder keeps nothing.
    2. Nor do blocks for multi-token prediction: in ordinary decoding the engine gives them no cache.
    3. A recurrent layer keeps a state, and cells too where attention runs beside it (Falcon-H1).
    4. A layer without heads for keys, or that reads the cache of another, keeps nothing.
    5. With the keys of latent attention (MLA), one compressed row per token.
    6. A windowed layer keeps the window, any other all tokens.
    """
    heads = _heads(keys, layers)
    window = _window(keys)
    windowed = _windowed(keys, layers) if window else (False,) * layers
    recurrent = _recurrent(keys, layers, heads.kv, tensors)
    known = keys.architecture in KNOWN
    ahead, cached = layers - prediction_layers(keys, layers), _cached_from_start(keys, layers)
    found = []
    for layer in range(layers):
        attends = known or _attends(tensors[layer])
        kind = _Kind(layer >= ahead, windowed[layer], recurrent[layer], layer < cached, attends)
        found.append(_remembering(keys, heads, heads.kv[layer], kind))
    return Memories(tuple(found), window if any(windowed) else 0, _guesses(keys, any(recurrent)))


def _remembering(keys: Keys, heads: _Heads, kv: int, kind: _Kind) -> Remembering:
    if keys.architecture in ENCODERS or kind.ahead:  # 1, 2
        return Remembering("none", 0, 0, 0)
    if kind.recurrent:  # 3
        beside = keys.architecture == "falcon-h1" or (keys.architecture not in KNOWN and kind.attends)
        width = (heads.key * kv, heads.value * kv) if beside else (0, 0)
        memory: Memory = "full" if beside else "recurrent"
        return Remembering(memory, *width, _state_bytes(keys), _recurrent_width(keys))
    if not (kv and kind.cached and kind.attends):  # 4
        return Remembering("none", 0, 0, 0)
    if _is_latent(keys):  # 5
        return Remembering("mla", heads.key * kv + _indexer(keys), 0, 0)
    if kind.windowed:  # 6
        return Remembering("window", heads.window_key * kv, heads.window_value * kv, 0)
    return Remembering("full", heads.key * kv, heads.value * kv, 0)


def prediction_layers(keys: Keys, layers: int) -> int:
    """How many of the last layers are for multi-token prediction only."""
    count = keys.own("nextn_predict_layers", default=0)
    return count if count < layers else 0


def _heads(keys: Keys, layers: int) -> _Heads:
    heads = keys.per_layer("attention.head_count", layers, (0,) * layers)
    count = heads[0] or max(heads)
    per_head = keys.own("embedding_length") // count if count else 0
    key = keys.own("attention.key_length", default=per_head)
    value = keys.own("attention.value_length", default=per_head)
    return _Heads(
        kv=keys.per_layer("attention.head_count_kv", layers, heads),
        key=key,
        value=value,
        window_key=keys.own("attention.key_length_swa", default=key),
        window_value=keys.own("attention.value_length_swa", default=value),
    )


def _is_latent(keys: Keys) -> bool:
    """Old DeepSeek files lack these keys: the engine then unpacks keys and values for every head."""
    return keys.own("attention.key_length_mla", default=0) > 0 and keys.own("attention.value_length_mla", default=0) > 0


def _indexer(keys: Keys) -> int:
    """Sparse attention keeps the keys of its indexer beside the compressed rows (``llama_kv_cache_dsa``)."""
    return keys.own("attention.indexer.key_length", default=0) if keys.architecture in WITH_INDEXER else 0


def _cached_from_start(keys: Keys, layers: int) -> int:
    """The layers behind these read an earlier layer's cache (``n_layer_kv_from_start``)."""
    if keys.architecture == "gemma3n":
        return 20
    return layers - keys.own("attention.shared_kv_layers", default=0)


def _window(keys: Keys) -> int:
    """Tokens in the sliding window; 0 where the engine has none, whatever the header says."""
    name = keys.architecture
    if name not in WINDOW_PERIOD and name not in WINDOW_BY_PATTERN:
        return 0
    said = keys.own("attention.sliding_window", default=FIXED_WINDOW[name] if name == "llama4" else 0)
    return FIXED_WINDOW.get(name, said) if said else 0


def _windowed(keys: Keys, layers: int) -> tuple[bool, ...]:
    """Which layers are windowed (``set_swa_pattern``): every Nth, the last or first of each N, attends to all."""
    run = layers - prediction_layers(keys, layers)
    pattern = keys.metadata.get(f"{keys.architecture}.attention.sliding_window_pattern")
    if isinstance(pattern, tuple) and len(pattern) in (run, layers):
        return (*(bool(flag) for flag in pattern[:run]), *(False,) * (layers - run))
    if keys.architecture in WINDOW_BY_PATTERN and not isinstance(pattern, int):
        # The engine refuses such a file, but for LFM2, whose attention layers are all windowed.
        return (keys.architecture.startswith("lfm2"),) * layers
    period, dense_first = WINDOW_PERIOD.get(keys.architecture, (0, False))
    period = pattern if isinstance(pattern, int) else period
    if keys.architecture == "exaone4" and run != 64:
        return (False,) * layers
    return tuple(layer < run and _is_windowed(layer, period, dense_first) for layer in range(layers))


def _is_windowed(layer: int, period: int, dense_first: bool) -> bool:
    if period == 0:
        return True
    return layer % period != 0 if dense_first else layer % period < period - 1


def _recurrent(keys: Keys, layers: int, kv: Sequence[int], tensors: Sequence[frozenset[str]]) -> tuple[bool, ...]:
    """Which layers keep a recurrent state."""
    name = keys.architecture
    if name in ALL_RECURRENT:
        return (True,) * layers
    if name in RECURRENT_WITHOUT_KV:
        # In Nemotron-H a layer with neither heads nor a state is a feed-forward network alone.
        width = keys.per_layer("feed_forward_length", layers, (0,) * layers)
        alone = name.startswith("nemotron_h")
        return tuple(not kv[layer] and not (alone and width[layer]) for layer in range(layers))
    if name in FULL_EVERY:
        flags = keys.metadata.get(f"{name}.attention.recurrent_layers")
        if isinstance(flags, tuple) and len(flags) == layers:
            return tuple(bool(flag) for flag in flags)
        every = keys.own("full_attention_interval", default=FULL_EVERY[name])
        return tuple((layer + 1) % every != 0 for layer in range(layers)) if every else (True,) * layers
    if name in KNOWN:
        return (False,) * layers
    return tuple(any(tensor.startswith(("ssm_", "time_mix_")) for tensor in names) for names in tensors)


def _attends(names: frozenset[str]) -> bool:
    """For an unknown architecture: whether there is anything that makes keys."""
    return any(name.startswith(("attn_k", "attn_qkv", "attn_kv")) for name in names)


def _state_bytes(keys: Keys) -> int:
    """Bytes of one layer's state for one sequence: f32, of fixed size.

    Source: llama.cpp, ``n_embd_r()`` (what the convolution or token shift needs of earlier tokens) and
    ``n_embd_s()`` (the state proper); ``llama_memory_recurrent`` makes one of each per layer and sequence.
    """
    return _F32 * (_shift_elements(keys) + _state_elements(keys))


def _shift_elements(keys: Keys) -> int:
    embedding, kernel = keys.own("embedding_length"), keys.own("ssm.conv_kernel", default=0)
    if keys.has("wkv.head_size"):
        return keys.own("token_shift_count", default=2) * embedding
    if keys.has("shortconv.l_cache"):
        return embedding * max(keys.own("shortconv.l_cache") - 1, 0)
    if keys.has("kda.head_dim"):
        return 3 * (kernel - 1 if kernel else 3) * keys.most("attention.head_count") * keys.own("kda.head_dim")
    groups, state = keys.own("ssm.group_count", default=0), keys.own("ssm.state_size", default=0)
    return max(kernel - 1, 0) * (keys.own("ssm.inner_size", default=0) + 2 * groups * state)


def _recurrent_width(keys: Keys) -> int:
    """Elements per token that such a layer holds at once.

    Source: llama.cpp's graphs, and its dry run: the convolution's input and output and the gate for a delta rule
    (``build_recurrent_attn``), for Mamba what is projected as well (``build_mamba2_layer``). Without a convolution as
    wide as the inner state (RWKV, LFM2) a generous number of rows of the embedding's width.
    """
    embedding, kernel = keys.own("embedding_length"), keys.own("ssm.conv_kernel", default=0)
    if keys.has("wkv.head_size") or keys.has("shortconv.l_cache"):
        return 6 * embedding
    if keys.has("kda.head_dim"):
        return 7 * keys.most("attention.head_count") * keys.own("kda.head_dim")
    inner = keys.own("ssm.inner_size", default=0)
    convolution = _shift_elements(keys) // (kernel - 1) if kernel > 1 else inner
    projected = 0 if keys.architecture in _DELTA_RULE else inner + convolution
    return 2 * convolution + inner + projected


def _state_elements(keys: Keys) -> int:
    if keys.has("wkv.head_size"):
        return keys.own("embedding_length") * keys.own("wkv.head_size")
    head = keys.own("kda.head_dim", default=0)
    if keys.architecture == "minimax-01":
        head = keys.own("attention.key_length", default=0)
    if head:
        return head * head * keys.most("attention.head_count")
    return keys.own("ssm.state_size", default=0) * keys.own("ssm.inner_size", default=0)


def _guesses(keys: Keys, recurrent: bool) -> tuple[str, ...]:
    name = keys.architecture
    if name in WITH_INDEXER:
        return (f"the cache of {name}'s sparse attention (taken as the compressed rows and the indexer's keys)",)
    if name in KNOWN:
        return ()
    found = [f"how layers of {name} remember (taken as keys and values of every head for every token)"]
    if keys.own("attention.sliding_window", default=0):
        found.append(f"which layers of {name} use the sliding window (counted as none)")
    if recurrent:
        found.append(f"the recurrent state of {name} (taken as Mamba's)")
    return tuple(found)
