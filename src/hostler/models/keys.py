"""Typed access to the keys of one GGUF header."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from hostler.errors import ModelError
from hostler.models.header import Value

_FEW = 2**31


class Keys:
    """The keys of one header; ``{architecture}`` keys by their short name.

    Every number is checked: whatever is missing, of another type or out of range becomes a ModelError that
    names file and key. ``path`` may be an address.
    """

    def __init__(self, path: Path | str, metadata: Mapping[str, Value]) -> None:
        self.path = path
        self.metadata = metadata
        architecture = metadata.get("general.architecture")
        self.architecture = architecture if isinstance(architecture, str) else ""

    def text(self, key: str) -> str | None:
        value = self.metadata.get(key)
        return value if isinstance(value, str) and value else None

    def number(self, key: str, *, default: int | None = None) -> int:
        """A whole number from 0 to 2^31; ``default`` when the key is absent, else ModelError."""
        value = self.metadata.get(key, default)
        if value is None:
            raise ModelError(f"{self.path} lacks the key {key}: not a whole language model.")
        if isinstance(value, bool) or not isinstance(value, int) or not (value == default or 0 <= value < _FEW):
            raise ModelError(f"{self.path} has the impossible value {str(value)[:40]} for the key {key}.")
        return value

    def has(self, key: str) -> bool:
        return f"{self.architecture}.{key}" in self.metadata

    def own(self, key: str, *, default: int | None = None) -> int:
        return self.number(f"{self.architecture}.{key}", default=default)

    def most(self, key: str, *, default: int = 0) -> int:
        """The largest number of a key that holds one for all layers or one for each."""
        value = self.metadata.get(f"{self.architecture}.{key}")
        if not isinstance(value, tuple):
            return self.own(key, default=default)
        return max(self.per_layer(key, len(value), ()), default=default)

    def per_layer(self, key: str, layers: int, default: tuple[int, ...]) -> tuple[int, ...]:
        """One number per layer: the key holds one for all, or an array of them."""
        full = f"{self.architecture}.{key}"
        value = self.metadata.get(full)
        if not isinstance(value, tuple):
            return default if value is None else (self.number(full),) * layers
        numbers = tuple(int(item) for item in value if isinstance(item, int) and 0 <= item < _FEW)
        if len(numbers) != len(value) or len(value) != layers:
            raise ModelError(f"{self.path} has {len(value)} numbers for {layers} layers in the key {full}.")
        return numbers
