"""Makes models of files: parts of a split model joined, projectors put beside their models."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from hostler.models.facts import Model, Origin
from hostler.models.looks import is_gguf
from hostler.models.naming import part_name
from hostler.models.sources import Finding, FoundFile, ScanProblem

# The usual choice among several projectors: exact enough, half the size of F32.
_PROJECTOR_TYPES = ("f16", "bf16", "q8_0", "f32")
_TYPE_WORD = re.compile(r"(?i)^(f16|bf16|f32|fp16|q\d.*|iq\d.*|k|m|s|l|xl|0|1|gguf)$")
_WORDS = re.compile(r"[-_. ]+")


class Assembled(NamedTuple):
    """A model without its final name. ``identity`` is the device and inode of its first file."""

    files: tuple[Path, ...]
    size: int
    label: str
    origin: Origin
    qualifiers: tuple[str, ...]
    identity: tuple[int, int]
    projector: Path | None

    def model(self, name: str) -> Model:
        return Model(name=name, files=self.files, size=self.size, origin=self.origin, projector=self.projector)


def assemble(findings: Iterable[Finding]) -> Iterator[Assembled | ScanProblem]:
    """Models in the order of their first file, each with all its parts; problems as they are met."""
    groups: dict[str, list[FoundFile]] = defaultdict(list)
    for item in findings:
        if isinstance(item, ScanProblem):
            yield item
        else:
            groups[f"{item.origin}:{item.group}"].append(item)
    for files in groups.values():
        yield from _group(files)


def _group(files: Sequence[FoundFile]) -> Iterator[Assembled | ScanProblem]:
    projectors = [item for item in files if is_projector(item.label)]
    parts: dict[tuple[str, int], dict[int, FoundFile]] = defaultdict(dict)
    for item in files:
        if item not in projectors:
            name = part_name(item.label)
            parts[name.base, name.total].setdefault(name.number, item)
    for (base, count), found in parts.items():
        others = {other for other, _ in parts if other != base}
        yield _join(base, count, found, _projector_for(base, others, projectors))


def _join(base: str, count: int, found: dict[int, FoundFile], projector: Path | None) -> Assembled | ScanProblem:
    missing = [number for number in range(1, min(count, 10_000) + 1) if number not in found]
    first = found[min(found)]
    if missing:
        return ScanProblem(first.path, f"is part of a split model whose part {missing[0]} of {count} is missing")
    ordered = [found[number].path for number in range(1, count + 1)]
    for path in ordered:
        if problem := _unusable(path):
            return ScanProblem(path, problem)
    try:
        stats = [os.stat(path) for path in ordered]
    except OSError as error:  # it went away meanwhile
        return ScanProblem(first.path, f"cannot be read: {error.strerror}")
    return Assembled(
        tuple(ordered), sum(stat.st_size for stat in stats), base, first.origin, first.qualifiers,
        (stats[0].st_dev, stats[0].st_ino),
        first.projector if first.projector and is_gguf(first.projector) else projector,
    )  # fmt: skip


def _unusable(path: Path) -> str | None:
    if not os.path.exists(path):
        return "is a link to a file that is not there" if os.path.islink(path) else "is not there"
    if not os.path.isfile(path):
        return "is not a file"
    if not os.access(path, os.R_OK):
        return "cannot be read: permission denied"
    return None if is_gguf(path) else "does not begin as a GGUF file does"


def is_projector(file_name: str) -> bool:
    """Whether a file is a projector by the convention of its name."""
    return "mmproj" in file_name.lower()


def _projector_for(base: str, others: set[str], projectors: Sequence[FoundFile]) -> Path | None:
    """The projector of a model: one that carries its name, else one that carries no other model's name.

    A nameless projector (``mmproj-F16.gguf``) in a flat folder with several models belongs to none of them.
    """
    own = [item for item in projectors if _names(item, base)]
    if not own:
        own = [
            item
            for item in projectors
            if not any(_names(item, other) for other in others) and not (item.alone and others)
        ]
    return min(own, key=_preference).path if own else None


def _names(projector: FoundFile, base: str) -> bool:
    core = [word for word in _WORDS.split(projector.label.lower()) if word != "mmproj" and not _TYPE_WORD.match(word)]
    return bool(core) and _WORDS.split(base.lower())[: len(core)] == core


def _preference(projector: FoundFile) -> tuple[int, str]:
    words = _WORDS.split(projector.label.lower())
    rank = next((rank for rank, kind in enumerate(_PROJECTOR_TYPES) if kind in words), len(_PROJECTOR_TYPES))
    return rank, projector.label
