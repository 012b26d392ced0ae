"""Small facts that both what is shown of a model and what is planned with need."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from hostler.errors import ModelError
from hostler.models.header import Header, Skipped
from hostler.models.keys import Keys
from hostler.models.tensortypes import FILE_TYPES

MAX_LAYERS = 4096
_UNQUANTISED = ("F32", "F16", "BF16")


def checked_layers(keys: Keys) -> int:
    """The number of blocks; ModelError for what is no language model."""
    if not keys.architecture:
        raise ModelError(f"{keys.path} lacks the key general.architecture: not a model, or not its first part.")
    if keys.architecture == "clip":
        raise ModelError(
            f"{keys.path} is a projector (images or sound for another model), not a language model.",
            hint="Name the language model beside it; the projector is found by itself.",
        )
    layers = keys.own("block_count")
    if not 1 <= layers <= MAX_LAYERS:
        raise ModelError(f"{keys.path} has the impossible value {layers} for the key {keys.architecture}.block_count.")
    return layers


def quantisation(keys: Keys, headers: Sequence[Header]) -> str:
    """The label of general.file_type; the type that holds the most bytes where there is none or it misleads.

    Files said to be F16 may be quantised all the same (gpt-oss in "F16" is 93% MXFP4).
    """
    held: Counter[str] = Counter()
    for header in headers:
        for tensor in header.tensors:
            held[tensor.type] += tensor.size
    heaviest, size = held.most_common(1)[0] if held else ("unknown", 0)
    label = FILE_TYPES.get(keys.number("general.file_type", default=-1), heaviest)
    misleads = label in _UNQUANTISED and heaviest not in _UNQUANTISED and 2 * size > held.total()
    return heaviest if misleads else label


def vocabulary(keys: Keys, table: Sequence[int]) -> int:
    """Entries of the vocabulary; ``table`` is the shape of the token embedding."""
    tokens = keys.metadata.get("tokenizer.ggml.tokens")
    if isinstance(tokens, Skipped):
        return tokens.count
    if isinstance(tokens, tuple):
        return len(tokens)
    return keys.own("vocab_size", default=table[1] if len(table) == 2 else 0)
