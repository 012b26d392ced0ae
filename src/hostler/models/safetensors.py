"""Reads the headers of a folder of safetensors files (Hugging Face, MLX): the same facts as of a GGUF file.

Keys and tensor names are translated into those of GGUF and read by the same code, so bytes are exact and what is
known of an architecture is known once. Layout of a file: eight bytes of length, that much JSON, data.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import msgspec

from hostler.errors import ModelError
from hostler.models.facts import GgufFacts
from hostler.models.gguf import facts_of
from hostler.models.header import Header, TensorInfo
from hostler.models.hfconfig import Config, metadata_of, read_config
from hostler.models.hfnames import gguf_name
from hostler.models.shape import ModelShape
from hostler.models.shaping import shape_of

# The format's own bound, and far above any index or shard count that was ever published.
MAX_JSON = 100 * 10**6
MAX_SHARDS = 2048
MAX_DIMENSIONS = 16

_SIZES = {
    **dict.fromkeys(("BOOL", "U8", "I8", "F8_E4M3", "F8_E5M2", "F8_E8M0"), 1),
    **dict.fromkeys(("I16", "U16", "F16", "BF16"), 2),
    **dict.fromkeys(("I32", "U32", "F32"), 4),
    **dict.fromkeys(("I64", "U64", "F64", "C64"), 8),
}
_Length = Annotated[int, msgspec.Meta(ge=0, le=2**62)]
_SHARD = re.compile(r"[^/\\\0]+\.safetensors")


class _Entry(msgspec.Struct):
    """One tensor in a header; ``__metadata__`` has none of these."""

    dtype: str = ""
    shape: Annotated[list[_Length], msgspec.Meta(max_length=MAX_DIMENSIONS)] = []
    data_offsets: tuple[_Length, _Length] = (0, 0)


class _Index(msgspec.Struct):
    weight_map: dict[str, str] = {}


def read_folder(folder: Path) -> tuple[GgufFacts, ModelShape]:
    """What the model in ``folder`` is; how it remembers is told as llama.cpp would keep it.

    Blocking. Raises ModelError with the path, and the tensor or key, of what is missing, broken or does not belong.
    """
    config = read_config(folder / "config.json")
    shards = _shards(folder)
    entries: dict[str, _Entry] = {}
    size = 0
    for shard in shards:
        found, length = _read_shard(shard)
        twice = next((name for name in found if name in entries), None)
        if twice is not None:
            raise ModelError(f"{shard} holds the tensor {twice[:200]!r} of another file again.")
        entries.update(found)
        size += length
    _check_index(folder, entries)
    header = _header(config, entries, size)
    return facts_of([header], folder), shape_of([header], folder)


def _shards(folder: Path) -> list[Path]:
    try:
        names = sorted(path.name for path in folder.iterdir() if path.name.endswith(".safetensors"))
    except OSError as error:
        raise ModelError(f"{folder} cannot be listed: {error.strerror or error}.") from error
    if not names:
        raise ModelError(f"{folder} holds no .safetensors file.")
    if len(names) > MAX_SHARDS:
        raise ModelError(f"{folder} holds {len(names)} .safetensors files, more than {MAX_SHARDS}.")
    return [folder / name for name in names]


def _check_index(folder: Path, entries: Mapping[str, _Entry]) -> None:
    """What ``model.safetensors.index.json`` promises must be there."""
    path = folder / "model.safetensors.index.json"
    if not path.exists():
        return
    try:
        index = msgspec.json.decode(_beginning(path, MAX_JSON), type=_Index)
    except msgspec.MsgspecError as error:
        raise ModelError(f"{path} is no index of tensors: {error}.") from None
    for name, shard in index.weight_map.items():
        if not _SHARD.fullmatch(shard):
            raise ModelError(f"{path} names the impossible file {shard[:200]!r}.")
        if name not in entries:
            raise ModelError(
                f"{folder / shard} is missing, or lacks the tensor {name[:200]!r} that {path.name} promises."
            )


def _beginning(path: Path, limit: int) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror or error}.") from error
    if len(data) > limit:
        raise ModelError(f"{path} is larger than {limit} bytes.")
    return data


def _read_shard(path: Path) -> tuple[dict[str, _Entry], int]:
    """The tensors of one file, and its length."""
    try:
        with path.open("rb", buffering=0) as file:
            size = file.seek(0, 2)
            file.seek(0)
            length = int.from_bytes(file.read(8), "little")
            if size < 8 or not 2 <= length <= min(size - 8, MAX_JSON):
                raise ModelError(
                    f"{path} is truncated or no safetensors file: its header of {length} bytes does not fit."
                )
            data = file.read(length)
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror or error}.") from error
    return parse_shard(path, data, size - 8 - length), size


def parse_shard(path: Path | str, data: bytes, data_size: int) -> dict[str, _Entry]:
    """The tensors in a header ``data`` that ``data_size`` bytes follow; ModelError when they do not fit together."""
    try:
        entries = msgspec.json.decode(data, type=dict[str, _Entry])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ModelError(f"{path} has a broken header: {error}.") from None
    entries.pop("__metadata__", None)
    expected = 0
    for name, entry in sorted(entries.items(), key=lambda item: item[1].data_offsets):
        start, end = entry.data_offsets
        if start != expected or end < start:
            raise ModelError(
                f"{path} says that the tensor {name[:200]!r} lies at {start} to {end} instead of {expected}."
            )
        each = _SIZES.get(entry.dtype)
        if each is not None and math.prod(entry.shape) * each != end - start:
            raise ModelError(
                f"{path} has {end - start} bytes for the tensor {name[:200]!r} of the shape {entry.shape}."
            )
        expected = end
    if expected > data_size:
        raise ModelError(f"{path} is truncated: its tensors need {expected} bytes, {data_size} are there.")
    return entries


def _header(config: Config, entries: Mapping[str, _Entry], size: int) -> Header:
    tensors = [_tensor(config, name, entries) for name in entries if not _belongs_to_another(name, entries)]
    return Header(metadata_of(config, [tensor.name for tensor in tensors]), tuple(tensors), 0, 1, 0, size)


def _belongs_to_another(name: str, entries: Mapping[str, _Entry]) -> bool:
    """Scales and offsets of a quantised weight count as part of it."""
    base, _, last = name.rpartition(".")
    if last in ("scales", "biases"):
        return f"{base}.weight" in entries
    return name.endswith("_scales") and f"{name[: -len('_scales')]}_blocks" in entries


def _tensor(config: Config, name: str, entries: Mapping[str, _Entry]) -> TensorInfo:
    base = name.removesuffix(".weight")
    parts = [name, f"{base}.scales", f"{base}.biases"] if name.endswith(".weight") else [name]
    if name.endswith("_blocks"):
        parts.append(f"{name.removesuffix('_blocks')}_scales")
    held = [entries[part] for part in parts if part in entries]
    bits = _packed_bits(config, base, held)
    shape = _unpacked(entries[name], bits)
    size = sum(entry.data_offsets[1] - entry.data_offsets[0] for entry in held)
    label = f"{bits}-bit" if bits else entries[name].dtype
    return TensorInfo(gguf_name(name), tuple(reversed(shape)), label, 0, math.prod(shape), size)


def _packed_bits(config: Config, module: str, held: Sequence[_Entry]) -> int:
    """Bits of one weight that is packed into larger numbers (MLX, gpt-oss); 0 when it is not."""
    if len(held) < 2:
        return 0
    return config.bits(module) if held[0].dtype == "U32" else 4 if held[0].dtype == "U8" else 0


def _unpacked(entry: _Entry, bits: int) -> list[int]:
    """The shape that the weight has without packing."""
    if not bits or not entry.shape:
        return entry.shape
    return [*entry.shape[:-1], entry.shape[-1] * 8 * _SIZES[entry.dtype] // bits]
