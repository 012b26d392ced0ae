"""What is known of a model: its files, and what their headers say."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

Origin = Literal["library", "root", "path", "huggingface", "llamacpp", "ollama", "lmstudio"]


class GgufFacts(msgspec.Struct, frozen=True, kw_only=True):
    """The header of a GGUF model, all split files together.

    ``kv_heads`` has one number per layer. Sizes of keys and values are per head. ``tensor_bytes`` is the
    sum over the tensor table; ``parameters`` the sum of elements. ``pooling`` is set for embedding models.
    ``recurrent_bytes`` is the state of one sequence in models with recurrent layers (an upper bound), else 0.
    """

    architecture: str
    name: str
    parameters: int
    tensor_bytes: int
    quantisation: str
    layers: int
    context_length: int
    embedding_length: int
    vocabulary: int
    heads: int
    kv_heads: tuple[int, ...]
    key_length: int
    value_length: int
    sliding_window: int | None = None
    experts: int = 0
    recurrent_bytes: int = 0
    chat_template: str | None = None
    pooling: str | None = None
    licence: str | None = None


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """Weights on disk.

    ``name`` is what a client may send. ``files`` are all parts of a split model in order; the first is what
    the engine is given. ``size`` is in bytes, projector excluded.
    """

    name: str
    files: tuple[Path, ...]
    size: int
    origin: Origin
    projector: Path | None = None

    @property
    def path(self) -> Path:
        """The file that the engine is given."""
        return self.files[0]
