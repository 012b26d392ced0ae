"""What makers publish of their devices: bandwidth and matrix rates by name, from ``known.toml``."""

from __future__ import annotations

import re
import tomllib
from functools import cache
from importlib.resources import files

import msgspec

from hostler.hardware.facts import Figure, RateType

# What drivers put around the name that people use.
_NOISE = re.compile(r"\b(nvidia|geforce|amd|ati|radeon|graphics)\b|\((tm|r)\)", re.IGNORECASE)


class Published(msgspec.Struct, frozen=True):
    """A device's figures, each with its source."""

    bandwidth: Figure
    rates: dict[RateType, Figure]


class _Family(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    source: str
    f16: float | None = None
    int8: float | None = None


class _Row(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    gb_s: float
    f32: float
    family: str
    f16: float | None = None
    int8: float | None = None
    gib: int | None = None
    cores: int | None = None


class _Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    families: dict[str, _Family]
    devices: dict[str, list[_Row]]


def published(name: str, memory: int | None = None, cores: int | None = None) -> Published | None:
    """The figures of the device that calls itself ``name``; None when it is not in the table.

    ``memory`` in bytes and GPU ``cores`` choose among cards of one name; the first row stands for all when
    they say nothing. A name counts only whole: a laptop's RTX 4090 is another chip than the desktop's.
    """
    rows = _rows().get(_plain(name))
    if not rows:
        return None
    row = next((row for row in rows if _fits(row, memory, cores)), rows[0])
    family = _table().families[row.family]
    rates: dict[RateType, Figure] = {"f32": Figure(row.f32 * 1e12, family.source)}
    if tops := row.f16 or (family.f16 and family.f16 * row.f32):
        rates["f16"] = Figure(tops * 1e12, family.source)
    if tops := row.int8 or (family.int8 and family.int8 * row.f32):
        rates["int8"] = Figure(tops * 1e12, family.source)
    return Published(Figure(row.gb_s * 1e9, family.source), rates)


def names() -> tuple[str, ...]:
    """Every name in the table."""
    return tuple(_table().devices)


def _fits(row: _Row, memory: int | None, cores: int | None) -> bool:
    # Drivers report a little less than the whole.
    right_size = row.gib is None or memory is None or row.gib == round(memory / 2**30)
    return right_size and (row.cores is None or cores is None or row.cores == cores)


def _plain(name: str) -> str:
    return " ".join(_NOISE.sub(" ", name).lower().split())


@cache
def _rows() -> dict[str, list[_Row]]:
    return {_plain(name): rows for name, rows in _table().devices.items()}


@cache
def _table() -> _Table:
    text = (files("hostler.hardware") / "known.toml").read_text("utf-8")
    return msgspec.convert(tomllib.loads(text), _Table)
