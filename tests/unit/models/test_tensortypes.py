"""Our tables are those of the `gguf` package."""

from __future__ import annotations

from gguf.constants import GGML_QUANT_SIZES, MODEL_ARCH_NAMES, GGMLQuantizationType, LlamaFileType, PoolingType

from hostler.models.architectures import KNOWN
from hostler.models.tensortypes import FILE_TYPES, POOLINGS, TENSOR_TYPES


def test_tensor_types_are_those_of_gguf() -> None:
    theirs = {int(kind): (kind.name, *GGML_QUANT_SIZES[kind]) for kind in GGMLQuantizationType}
    assert {number: tuple(kind) for number, kind in TENSOR_TYPES.items()} == theirs


def test_file_types_are_those_of_gguf() -> None:
    theirs = {
        int(kind): kind.name.removeprefix("MOSTLY_").removeprefix("ALL_")
        for kind in LlamaFileType
        if kind is not LlamaFileType.GUESSED
    }
    assert theirs == FILE_TYPES


def test_poolings_are_those_of_gguf() -> None:
    theirs = {int(kind): kind.name.lower() for kind in PoolingType if kind is not PoolingType.NONE}
    assert theirs == POOLINGS


def test_every_architecture_of_gguf_is_known() -> None:
    """Projectors are no models; how an encoder and a decoder together remember is a guess."""
    assert set(MODEL_ARCH_NAMES.values()) - KNOWN == {"clip", "t5"}
