"""`dimensions` of embeddings, which llama.cpp does not know: vectors are cut to so many numbers, and their length is
one again, as the API has it."""

from __future__ import annotations

import base64
import math
from array import array
from sys import byteorder
from typing import Final

import msgspec
from msgspec import Raw

from hostler.fleet.learning.defects import Probe
from hostler.gateway.answering.repairs.protocol import Asked
from hostler.gateway.asking.checks.embeddings import Embedding


class _Vectors(msgspec.Struct):
    data: list[dict[str, Raw]]


_vectors = msgspec.json.Decoder(_Vectors).decode
_fields = msgspec.json.Decoder(dict[str, Raw]).decode
_numbers = msgspec.json.Decoder(list[float] | str).decode


def whole(asked: Asked, body: bytes) -> bytes:
    """An answer with vectors of as many dimensions as were asked for, where they have more."""
    wanted = asked.peek.dimensions if isinstance(asked.peek, Embedding) else None
    if not isinstance(wanted, int):
        return body
    try:
        data = [
            {**one, "embedding": _cut(one["embedding"], wanted)} if "embedding" in one else one
            for one in _vectors(body).data
        ]
        return msgspec.json.encode(_fields(body) | {"data": Raw(msgspec.json.encode(data))})
    except ValueError:  # no JSON, or no base64
        return body


def _cut(written: Raw, wanted: int) -> Raw:
    said = _numbers(written)
    vector = _floats(said) if isinstance(said, str) else said
    if len(vector) <= wanted:
        return written
    vector = vector[:wanted]
    length = math.sqrt(math.fsum(number * number for number in vector)) or 1.0
    vector = [number / length for number in vector]
    return Raw(msgspec.json.encode(_base64(vector) if isinstance(said, str) else vector))


def _floats(text: str) -> list[float]:
    """Little-endian floats of 32 bits."""
    numbers = array("f", base64.b64decode(text))
    if byteorder == "big":
        numbers.byteswap()
    return numbers.tolist()


def _base64(vector: list[float]) -> str:
    numbers = array("f", vector)
    if byteorder == "big":
        numbers.byteswap()
    return base64.b64encode(numbers.tobytes()).decode()


class _Numbers(msgspec.Struct):
    embedding: list[float]


class _Answer(msgspec.Struct):
    data: list[_Numbers]


def is_cut(status: int, body: bytes) -> bool | None:
    """Whether a vector of two dimensions, as was asked for, came."""
    if status != 200:
        return None
    try:
        vectors = [one.embedding for one in msgspec.json.decode(body, type=_Answer).data]
    except msgspec.MsgspecError:
        return None
    return bool(vectors) and all(len(one) == 2 and abs(math.hypot(*one) - 1) < 1e-3 for one in vectors)


IGNORED: Final = Probe("ignored_dimensions", "/v1/embeddings", {"input": "Hi", "dimensions": 2}, is_cut)
