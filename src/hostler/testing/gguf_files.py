"""Tiny but valid GGUF files: a header, metadata, a few tensors of zeros. Written by hand, no numpy."""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path

from hostler.models.tensortypes import TENSOR_TYPES, tensor_bytes

Scalar = str | int | float | bool
Value = Scalar | Sequence[str] | Sequence[int] | Sequence[float]
ALIGNMENT = 32
_U32, _F32, _BOOL, _STRING, _ARRAY, _U64 = 4, 6, 7, 8, 9, 10
F32_TENSOR = 0


def _text(text: str) -> bytes:
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def _kind(value: Scalar) -> int:
    if isinstance(value, bool):
        return _BOOL
    if isinstance(value, int):
        return _U32 if 0 <= value < 2**32 else _U64
    return _F32 if isinstance(value, float) else _STRING


def _scalar(value: Scalar, kind: int) -> bytes:
    if isinstance(value, str):
        return _text(value)
    return struct.pack({_U32: "<I", _U64: "<Q", _F32: "<f", _BOOL: "<?"}[kind], value)


def _value(value: Value) -> bytes:
    if isinstance(value, str | int | float):
        kind = _kind(value)
        return struct.pack("<I", kind) + _scalar(value, kind)
    kind = _kind(value[0]) if value else _STRING
    items = b"".join(_scalar(item, kind) for item in value)
    return struct.pack("<IIQ", _ARRAY, kind, len(value)) + items


def default_metadata(arch: str = "llama") -> dict[str, Value]:
    """What a small chat model says of itself: 2 layers, 4 heads of 16, 8192 tokens of training context."""
    return {
        "general.architecture": arch,
        "general.name": "Tiny",
        "general.file_type": 0,
        f"{arch}.block_count": 2,
        f"{arch}.context_length": 8192,
        f"{arch}.embedding_length": 64,
        f"{arch}.feed_forward_length": 128,
        f"{arch}.attention.head_count": 4,
        f"{arch}.attention.head_count_kv": 2,
        f"{arch}.attention.layer_norm_rms_epsilon": 1e-5,
        f"{arch}.rope.freq_base": 10000.0,
        f"{arch}.vocab_size": 4,
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.tokens": ["<s>", "</s>", "a", "b"],
        "tokenizer.chat_template": "{% for message in messages %}{{ message['content'] }}{% endfor %}",
    }


def _padded(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT


def write_tiny_gguf(
    path: Path,
    *,
    tensors: Mapping[str, Sequence[int]] | None = None,
    fill_mib: float = 0.0,
    without: Sequence[str] = (),
    **metadata: Value,
) -> Path:
    """Write a GGUF v3 at ``path`` (folders are made) and return it.

    ``metadata`` replaces or adds keys, dots written as ``__``: ``llama__block_count=4``; ``without`` drops
    keys (``tokenizer.chat_template`` makes a base model). ``tensors`` are names with dimensions, all F32.
    ``fill_mib`` makes the file that much larger by one more tensor, sparse on disk.
    """
    given = {name.replace("__", "."): value for name, value in metadata.items()}
    arch = given.get("general.architecture", "llama")
    keys = {name: value for name, value in (default_metadata(str(arch)) | given).items() if name not in without}
    shapes = dict(tensors) if tensors is not None else {"token_embd.weight": (64, 4), "output_norm.weight": (64,)}
    if fill_mib:
        shapes["blk.0.ffn_up.weight"] = (64, max(int(fill_mib * 2**20 / 256), 1))
    head = b"GGUF" + struct.pack("<IQQ", 3, len(shapes), len(keys))
    head += b"".join(_text(name) + _value(value) for name, value in keys.items())
    offset = 0
    for name, dimensions in shapes.items():
        size = 4
        for dimension in dimensions:
            size *= dimension
        head += _text(name) + struct.pack(f"<I{len(dimensions)}QIQ", len(dimensions), *dimensions, F32_TENSOR, offset)
        offset += _padded(size)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.write(head)
        file.truncate(_padded(len(head)) + offset)
    return path


_TYPE_NUMBERS = {kind.name: number for number, kind in TENSOR_TYPES.items()}


def write_sparse_gguf(
    path: Path, metadata: Mapping[str, Value], tensors: Sequence[tuple[str, tuple[int, ...], str]]
) -> Path:
    """Write a header of any size with no data behind it, and return ``path``.

    ``tensors`` are name, dimensions (fastest first) and type (``Q4_K``). The file has its full length but takes
    only the header's room on disk.
    """
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(metadata))
    head += b"".join(_text(name) + _value(value) for name, value in metadata.items())
    table, offset = [], 0
    for name, shape, kind in tensors:
        number = _TYPE_NUMBERS[kind]
        table.append(_text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, number, offset))
        offset += _padded(tensor_bytes(TENSOR_TYPES[number], math.prod(shape)))
    head += b"".join(table)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.write(head)
        file.truncate(_padded(len(head)) + offset)
    return path


def with_metadata(source: Path, path: Path, **metadata: Value) -> Path:
    """Write a copy of the model ``source`` that says more of itself at ``path``, and return it; dots are ``__``.

    The keys go in front of all others and take a multiple of the alignment, so that everything behind them only moves.
    """
    data = source.read_bytes()
    magic, version, tensors, keys = struct.unpack_from("<4sIQQ", data)
    added = b"".join(_text(name.replace("__", ".")) + _value(value) for name, value in metadata.items())
    filler = "padding"
    added += _text(filler) + _value("-" * (-len(added + _text(filler) + _value("")) % ALIGNMENT))
    head = struct.pack("<4sIQQ", magic, version, tensors, keys + len(metadata) + 1)
    path.write_bytes(b"".join((head, added, memoryview(data)[len(head) :])))
    return path
