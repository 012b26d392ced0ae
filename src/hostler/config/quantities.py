"""Sizes and durations as people write them: ``"12 GiB"``, ``"10m"``, ``"never"``."""

from __future__ import annotations

import math
import re

_SIZES = {
    "": 1, "b": 1,
    "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12,
    "kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40,
    "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40,
}  # fmt: skip
_DURATIONS = {"ms": 0.001, "": 1.0, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_LARGEST = 2**63
_NUMBER_UNIT = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*")
_PART = re.compile(r"(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*")


class Bytes(int):
    """A size in bytes."""

    @classmethod
    def parse(cls, value: object) -> Bytes:
        """Read a byte count (int >= 0) or text such as ``"12 GiB"``; ValueError says what is taken."""
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _LARGEST:
            return cls(value)
        match = _NUMBER_UNIT.fullmatch(value) if isinstance(value, str) else None
        factor = _SIZES.get(match[2].lower()) if match else None
        if match is None or factor is None:
            raise ValueError(f'{value!r} is not a size; write bytes, or text such as "12 GiB" or "500 MB"')
        size = float(match[1]) * factor
        if size >= _LARGEST:
            raise ValueError(f"{value!r} is larger than any memory or disk")
        return cls(round(size))

    def __str__(self) -> str:
        return format_bytes(self)


class Seconds(float):
    """A duration in seconds."""

    @classmethod
    def parse(cls, value: object) -> Seconds:
        """Read seconds (number >= 0) or text such as ``"1h30m"``; ValueError says what is taken."""
        if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < _LARGEST:
            return cls(value)
        if isinstance(value, str) and (text := value.strip()):
            total, at = 0.0, 0
            while at < len(text) and (match := _PART.match(text, at)):
                factor = _DURATIONS.get(match[2].lower())
                if factor is None:
                    break
                total, at = total + float(match[1]) * factor, match.end()
            if at == len(text) and total < _LARGEST:
                return cls(total)
        raise ValueError(f'{value!r} is not a duration; write seconds, or text such as "10m" or "1h30m"')

    def __str__(self) -> str:
        return format_seconds(self)


def decode(kind: type, value: object) -> object:
    """msgspec's ``dec_hook``: read a :class:`Bytes`, :class:`Seconds`, or (`object`) whatever JSON can say."""
    if kind is Bytes:
        return Bytes.parse(value)
    if kind is Seconds:
        return Seconds.parse(value)
    if kind is object:
        return _json(value)
    raise NotImplementedError(f"no decoder for {kind}")


def _json(value: object) -> object:
    """``value`` itself; ValueError for what TOML has and JSON has not: dates, times, and numbers that are none."""
    if isinstance(value, dict):
        return {str(key): _json(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_json(item) for item in value]
    if isinstance(value, str | int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    raise ValueError(f"{value} is nothing that JSON can say")


def encode(value: object) -> object:
    """msgspec's ``enc_hook``: both quantities are plain numbers on the wire."""
    if isinstance(value, Bytes):
        return int(value)
    if isinstance(value, Seconds):
        return float(value)
    raise NotImplementedError(f"no encoder for {type(value)}")


def exact_bytes(size: Bytes) -> str | int:
    """The shortest form that reads back as ``size``: ``"64 MiB"``, else the plain number."""
    for unit, factor in (("TiB", 2**40), ("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if size >= factor and size % factor == 0 and size < 2**53:
            return f"{size // factor} {unit}"
    return int(size)


def exact_seconds(duration: Seconds) -> str | float:
    """The shortest form that reads back as ``duration``: ``"7d"``, ``"1h30m"``, else the plain number."""
    if duration and duration % 86400 == 0 and duration < 2**53:
        return f"{int(duration) // 86400}d"
    if duration.is_integer() and duration < 2**53:
        return format_seconds(duration)
    return float(duration)


def format_bytes(count: int | float) -> str:
    """``12884901888`` as ``12.0 GiB``; whole bytes below 1 KiB."""
    value = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(value) < 1024:
            return f"{value:.0f} B" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"


def format_seconds(seconds: float) -> str:
    """``5400`` as ``1h30m``; two places below a minute."""
    if seconds < 60:
        return f"{seconds:.3g}s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    parts = [(hours, "h"), (minutes, "m"), (rest, "s")]
    return "".join(f"{count}{unit}" for count, unit in parts if count)
