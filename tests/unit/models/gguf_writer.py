"""Writes small GGUF files, so that tests can make any header, right or wrong."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from pathlib import Path

_CODES = {"u8": (0, "B"), "u32": (4, "I"), "i32": (5, "i"), "f32": (6, "f"), "bool": (7, "?"), "u64": (10, "Q")}

Key = tuple[str, str, object]
Tensor = tuple[str, Sequence[int], int, int]
Save = Callable[..., Path]


def text(value: str) -> bytes:
    data = value.encode()
    return struct.pack("<Q", len(data)) + data


def _value(kind: str, value: object) -> bytes:
    if kind == "str":
        assert isinstance(value, str)
        return struct.pack("<I", 8) + text(value)
    if kind.startswith("["):
        assert isinstance(value, list | tuple)
        inner = kind[1:]
        number = 8 if inner == "str" else _CODES[inner][0]
        items = b"".join(text(item) if inner == "str" else struct.pack("<" + _CODES[inner][1], item) for item in value)
        return struct.pack("<IIQ", 9, number, len(value)) + items
    number, code = _CODES[kind]
    return struct.pack("<I" + code, number, value)


def gguf(keys: Sequence[Key], tensors: Sequence[Tensor] = (), data: int | None = None, version: int = 3) -> bytes:
    """A GGUF file; ``data`` overrides how many bytes of tensor data follow the header."""
    out = b"GGUF" + struct.pack("<IQQ", version, len(tensors), len(keys))
    for name, kind, value in keys:
        out += text(name) + _value(kind, value)
    offset = 0
    for name, shape, number, size in tensors:
        out += text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, number, offset)
        offset += -(-size // 32) * 32
    out += b"\0" * (-len(out) % 32)
    return out + b"\0" * (offset if data is None else data)


LLAMA: tuple[Key, ...] = (
    ("general.architecture", "str", "llama"),
    ("general.name", "str", "Tiny"),
    ("general.file_type", "u32", 3),
    ("general.license", "str", "mit"),
    ("llama.block_count", "u32", 2),
    ("llama.context_length", "u32", 1024),
    ("llama.embedding_length", "u32", 64),
    ("llama.attention.head_count", "u32", 4),
    ("llama.attention.head_count_kv", "u32", 2),
    ("tokenizer.ggml.tokens", "[str", ["a", "b", "c"]),
    ("tokenizer.chat_template", "str", "{{ messages }}"),
)
TENSORS: tuple[Tensor, ...] = (("token_embd.weight", (64, 3), 0, 768), ("blk.0.attn_q.weight", (64, 64), 3, 2560))
