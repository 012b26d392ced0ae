"""Headers of published models, made from their published configurations: every tensor, no data.

What a model's file says of itself, so that fit, plans and the engine's own dry run can be tried on any machine. The
engine takes such a file for a dry run (``tokenizer.ggml.model`` is ``none``) but cannot generate with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from hostler.models.tensortypes import FILE_TYPES
from hostler.testing.gguf_files import Value, write_sparse_gguf
from hostler.testing.quantising import Named, quantised

_FILE_TYPE = {label: number for number, label in FILE_TYPES.items()} | {"MXFP4": 38, "UD-Q5_K_XL": 17}


class Attention(msgspec.Struct, frozen=True, kw_only=True):
    """Heads and sizes; ``gate`` doubles the queries (Qwen3-Next and later)."""

    heads: int
    kv_heads: int
    head: int
    norms: bool = False
    biases: bool = False
    gate: bool = False


class Experts(msgspec.Struct, frozen=True, kw_only=True):
    """A mixture of experts; ``width`` is of one expert, ``shared`` of all shared ones together (0: none)."""

    count: int
    used: int
    width: int
    shared: int = 0
    leading_dense: int = 0


class Linear(msgspec.Struct, frozen=True, kw_only=True):
    """Gated DeltaNet: every ``interval``-th layer attends, the others have this state."""

    state: int = 128
    groups: int = 16
    values: int = 32
    kernel: int = 4
    interval: int = 4


class Published(msgspec.Struct, frozen=True, kw_only=True):
    """A published model: ``blocks`` yields the tensors of one layer, ``beside`` belong to none."""

    name: str
    architecture: str
    layers: int
    embedding: int
    width: int
    vocabulary: int
    context: int
    attention: Attention
    recipes: tuple[str, ...]
    blocks: Callable[[Published, int], Iterator[Named]]
    experts: Experts | None = None
    linear: Linear | None = None
    tied: bool = False
    beside: tuple[Named, ...] = ()
    more: dict[str, Value] = {}

    def tensors(self) -> list[Named]:
        """All tensors in the order of a converted file."""
        found = [Named("token_embd.weight", (self.embedding, self.vocabulary)), *self.beside]
        for layer in range(self.layers):
            found += [Named(f"blk.{layer}.{name}", shape) for name, shape in self.blocks(self, layer)]
        found.append(Named("output_norm.weight", (self.embedding,)))
        if not self.tied:
            found.append(Named("output.weight", (self.embedding, self.vocabulary)))
        return found

    def metadata(self, recipe: str) -> dict[str, Value]:
        """The keys of the header; a vocabulary by number only."""
        own: dict[str, Value] = {
            "block_count": self.layers,
            "context_length": self.context,
            "embedding_length": self.embedding,
            "feed_forward_length": self.width,
            "vocab_size": self.vocabulary,
            "attention.head_count": self.attention.heads,
            "attention.head_count_kv": self.attention.kv_heads,
            "attention.key_length": self.attention.head,
            "attention.value_length": self.attention.head,
            "attention.layer_norm_rms_epsilon": 1e-6,
            "rope.freq_base": 1e6,
            "rope.dimension_count": self.attention.head,
            **_expert_keys(self.experts),
            **_linear_keys(self.linear),
            **self.more,
        }
        return {
            "general.architecture": self.architecture,
            "general.name": self.name,
            "general.file_type": _FILE_TYPE[recipe],
            **{f"{self.architecture}.{key}": value for key, value in own.items()},
            "tokenizer.ggml.model": "none",
        }

    def write(self, folder: Path, recipe: str) -> Path:
        """Write the sparse file ``NAME-RECIPE.gguf`` into ``folder``; it takes a few KiB on disk."""
        path = folder / f"{self.name}-{recipe}.gguf"
        return write_sparse_gguf(path, self.metadata(recipe), quantised(self.tensors(), recipe, self.layers))


def _expert_keys(experts: Experts | None) -> dict[str, Value]:
    if experts is None:
        return {}
    keys: dict[str, Value] = {
        "expert_count": experts.count,
        "expert_used_count": experts.used,
        "expert_feed_forward_length": experts.width,
    }
    if experts.shared:
        keys["expert_shared_feed_forward_length"] = experts.shared
    return keys


def _linear_keys(linear: Linear | None) -> dict[str, Value]:
    if linear is None:
        return {}
    return {
        "ssm.conv_kernel": linear.kernel,
        "ssm.state_size": linear.state,
        "ssm.group_count": linear.groups,
        "ssm.time_step_rank": linear.values,
        "ssm.inner_size": linear.values * linear.state,
        "full_attention_interval": linear.interval,
    }
