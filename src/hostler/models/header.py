"""Reads the header of a GGUF file and nothing behind it.

Layout (``ggml/include/gguf.h``): magic, version, tensor count, key count, keys, tensor table, padding, data.
Every count and length comes from the file and is not trusted: nothing is allocated by one, all are bounded,
and whatever is wrong becomes a ModelError with path and byte offset. The file is read, not mapped: a mapped
file that shrinks meanwhile would end the process.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple

import msgspec

from hostler.errors import ModelError
from hostler.models.cursor import ARRAY, BOOL, MAX_HEADER, READERS, STRING, Cursor, Scalar
from hostler.models.looks import looks_like
from hostler.models.tensortypes import TENSOR_TYPES, TensorType, tensor_bytes

MAGIC = b"GGUF"
VERSIONS = (2, 3)
DEFAULT_ALIGNMENT = 32

# Far above anything published (largest seen: 262,144 tokens, about 2,000 tensors, 20 MB of header).
MAX_KEYS = 2**14
MAX_TENSORS = 2**17
MAX_STRINGS = 2**23
MAX_DIMENSIONS = 4
KEPT_ITEMS = 2**12


class Skipped(msgspec.Struct, frozen=True):
    """An array too long to keep; only its length is known."""

    count: int


Value = Scalar | tuple[Scalar, ...] | Skipped


class TensorInfo(NamedTuple):
    """One row of the tensor table. ``offset`` counts from the start of the data; ``size`` is in bytes."""

    name: str
    shape: tuple[int, ...]
    type: str
    offset: int
    elements: int
    size: int


class Header(NamedTuple):
    """What a GGUF file says of itself. ``data_start`` is the byte where tensor data begins."""

    metadata: dict[str, Value]
    tensors: tuple[TensorInfo, ...]
    version: int
    alignment: int
    data_start: int
    file_size: int


def read_header(path: Path) -> Header:
    """Read the header of one file; ModelError names path and byte offset of what is wrong with it."""
    with _opened(path) as file:
        size = file.seek(0, 2)
        file.seek(0)
        return parse_header(Cursor(path, file, size))


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    if "\0" in str(path):
        raise ModelError(f"{str(path)!r} is not a possible path.")
    try:
        if path.is_dir():
            raise ModelError(f"{path} is a folder, not a GGUF file.", hint="Name the .gguf file in it.")
        if path.exists() and not path.is_file():
            raise ModelError(f"{path} is not a file.")  # opening a pipe would wait for its writer, for ever
        with path.open("rb", buffering=0) as file:
            yield file
    except FileNotFoundError:
        raise ModelError(f"{path} does not exist.") from None
    except PermissionError:
        raise ModelError(
            f"{path} cannot be read: permission denied.", hint="Give this user the right to read it."
        ) from None
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error}.") from error


def parse_header(cursor: Cursor) -> Header:
    """The header that ``cursor`` stands before; ModelError as :func:`read_header`."""
    _check_magic(cursor)
    version = _version(cursor)
    tensor_count = cursor.count("the tensor count", MAX_TENSORS)
    key_count = cursor.count("the key count", MAX_KEYS)
    metadata = _metadata(cursor, key_count)
    alignment = _alignment(cursor, metadata)
    tensors = _tensors(cursor, tensor_count, alignment)
    data_start = -(-cursor.at // alignment) * alignment
    _check_data(cursor, tensors, data_start)
    return Header(metadata, tensors, version, alignment, data_start, cursor.size)


def _check_magic(cursor: Cursor) -> None:
    if cursor.size == 0:
        raise ModelError(f"{cursor.path} is empty.")
    start = cursor.raw(min(cursor.size, 64), "the magic number")
    if not start.startswith(MAGIC):
        raise ModelError(f"{cursor.path} is not a GGUF file: at byte 0 it looks like {looks_like(start)}.")
    cursor.at = len(MAGIC)


def _version(cursor: Cursor) -> int:
    version = cursor.u32("the version")
    if version in VERSIONS:
        return version
    if version & 0xFFFF == 0 and version:
        raise ModelError(
            f"{cursor.path} is a big-endian GGUF file (byte 4); this machine's engines read little-endian ones.",
            hint="Convert it with `gguf-convert-endian`.",
        )
    raise ModelError(f"{cursor.path} is GGUF version {version} (byte 4); versions 2 and 3 can be read.")


def _metadata(cursor: Cursor, count: int) -> dict[str, Value]:
    metadata: dict[str, Value] = {}
    for number in range(1, count + 1):
        start = cursor.at
        key = cursor.name(f"key {number} of {count}")
        if not key:
            raise cursor.fail(f"key {number} of {count} has no name", start)
        if key in metadata:
            raise cursor.fail(f"the key {key!r} is there twice", start)
        metadata[key] = _value(cursor, cursor.u32(f"the type of {key!r}"), f"the value of {key!r}")
    return metadata


def _value(cursor: Cursor, kind: int, what: str) -> Value:
    if kind == STRING:
        return cursor.text(what)
    if kind == ARRAY:
        return _array(cursor, what)
    if kind not in READERS:
        raise cursor.fail(f"{what} has the unknown type {kind}", cursor.at - 4)
    value = cursor.take(READERS[kind], what)
    return bool(value) if kind == BOOL else value


def _array(cursor: Cursor, what: str) -> Value:
    kind = cursor.u32(f"the item type of {what}")
    if kind != STRING and kind not in READERS:
        raise cursor.fail(f"{what} is an array of the unknown type {kind}", cursor.at - 4)
    count = cursor.count(f"the item count of {what}", MAX_HEADER)
    if kind != STRING:
        if count <= KEPT_ITEMS:
            return cursor.scalars(kind, count, what)
        cursor.skip(count * READERS[kind].size, what)
        return Skipped(count)
    cursor.strings += count
    if cursor.strings > MAX_STRINGS:
        raise cursor.fail(f"{what} brings the strings in the header to {cursor.strings}, more than {MAX_STRINGS}")
    if count <= KEPT_ITEMS:
        return tuple(cursor.text(what) for _ in range(count))
    cursor.skip_strings(count, what)
    return Skipped(count)


def _alignment(cursor: Cursor, metadata: dict[str, Value]) -> int:
    alignment = metadata.get("general.alignment", DEFAULT_ALIGNMENT)
    if not isinstance(alignment, int) or alignment < 1 or alignment & (alignment - 1) or alignment > 2**20:
        raise cursor.fail(f"general.alignment is {alignment!r}, not a power of two")
    return alignment


def _tensors(cursor: Cursor, count: int, alignment: int) -> tuple[TensorInfo, ...]:
    tensors: dict[str, TensorInfo] = {}
    expected = 0
    for number in range(1, count + 1):
        start = cursor.at
        tensor = _tensor(cursor, f"tensor {number} of {count}")
        if tensor.name in tensors:
            raise cursor.fail(f"the tensor {tensor.name!r} is there twice", start)
        if tensor.offset % alignment:
            raise cursor.fail(f"the tensor {tensor.name!r} lies at {tensor.offset}, not aligned to {alignment}", start)
        if tensor.offset != expected:
            # The engine refuses such a file too (`gguf_init_from_file`): tensors follow each other without gaps.
            raise cursor.fail(
                f"the tensor {tensor.name!r} is said to lie at {tensor.offset} instead of {expected}", start
            )
        expected += -(-tensor.size // alignment) * alignment
        tensors[tensor.name] = tensor
    return tuple(tensors.values())


def _tensor(cursor: Cursor, what: str) -> TensorInfo:
    start = cursor.at
    name = cursor.name(f"the name of {what}")
    dimensions = cursor.u32(f"the dimensions of {name!r}")
    if dimensions > MAX_DIMENSIONS:
        raise cursor.fail(f"the tensor {name!r} has {dimensions} dimensions, more than {MAX_DIMENSIONS}", start)
    shape = cursor.u64s(dimensions, f"the shape of {name!r}")
    kind = _tensor_type(cursor, name)
    elements = math.prod(shape)
    if elements >= 2**60:
        raise cursor.fail(f"the tensor {name!r} has the impossible shape {shape}", start)
    if (shape[0] if shape else 1) % kind.block:
        raise cursor.fail(f"rows of the tensor {name!r} are not a multiple of {kind.block} ({kind.name})", start)
    offset = cursor.u64(f"the offset of {name!r}")
    return TensorInfo(name, shape, kind.name, offset, elements, tensor_bytes(kind, elements))


def _tensor_type(cursor: Cursor, name: str) -> TensorType:
    number = cursor.u32(f"the type of {name!r}")
    kind = TENSOR_TYPES.get(number)
    if kind is None:
        raise cursor.fail(f"the tensor {name!r} has the unknown type {number}", cursor.at - 4)
    return kind


def _check_data(cursor: Cursor, tensors: tuple[TensorInfo, ...], data_start: int) -> None:
    last = max(tensors, key=lambda tensor: tensor.offset + tensor.size, default=None)
    if last is None:
        return
    expected = data_start + last.offset + last.size
    if cursor.size < expected:
        raise ModelError(
            f"{cursor.path} is truncated: tensor {last.name!r} ends at byte {expected}, the file has {cursor.size} "
            f"bytes."
        )
