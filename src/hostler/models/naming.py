"""How models on disk get readable, unique names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/-]*")
_PART = re.compile(r"(?P<base>.*)-(?P<number>\d{5})-of-(?P<count>\d{5})", re.DOTALL)
_FORBIDDEN = re.compile(r"[^A-Za-z0-9._:/-]+")


class PartName(NamedTuple):
    """A file name taken apart; ``number`` counts from 1, ``total`` is 1 for a model in one file."""

    base: str
    number: int
    total: int


def part_name(file_name: str) -> PartName:
    """``X-00002-of-00003.gguf`` is (X, 2, 3); any other ``X.gguf`` is (X, 1, 1)."""
    stem = file_name[: -len(".gguf")] if file_name.lower().endswith(".gguf") else file_name
    match = _PART.fullmatch(stem)
    if match is None or int(match["count"]) < 1:
        return PartName(stem, 1, 1)
    return PartName(match["base"], int(match["number"]), int(match["count"]))


def readable(text: str) -> str:
    """``text`` with everything that a name cannot hold replaced by ``-``."""
    return _FORBIDDEN.sub("-", text).lstrip("._:/-").rstrip("-") or "model"


def unique_names(wanted: Sequence[tuple[str, Sequence[str]]]) -> list[str]:
    """A name for each (name, qualifiers), in order.

    The first to want a name gets it as it is, so a model that is found later changes no other name. Those
    after it add their first qualifier that makes the name free (folder, publisher, origin), else a number.
    Names that differ only in case count as the same.
    """
    taken: set[str] = set()
    names = []
    for text, qualifiers in wanted:
        name = _free(readable(text), qualifiers, taken)
        taken.add(name.lower())
        names.append(name)
    return names


def _free(name: str, qualifiers: Sequence[str], taken: set[str]) -> str:
    candidates = [name, *(f"{name}-{readable(qualifier)}" for qualifier in qualifiers)]
    for candidate in candidates:
        if candidate.lower() not in taken:
            return candidate
    number = 2
    while f"{candidates[-1]}-{number}".lower() in taken:
        number += 1
    return f"{candidates[-1]}-{number}"
