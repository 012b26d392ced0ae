"""`PROFILE:PRESET` as a model name: one of the presets of a profile, an alias or an `auto` name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from hostler.config.layers import nearest
from hostler.config.names import Names
from hostler.errors import UnknownProfile

CACHED: Final = 1024
SUGGESTED: Final = 5


class Meant(NamedTuple):
    """What a client's name stands for; ``preset`` is "" where it says none."""

    profile: str
    preset: str


class Meanings:
    """What names mean, each found once. ``presets`` tells those that a profile or an `auto` name has.

    1. a profile or an alias of that very name. 2. `NAME:PRESET`. 3. a pattern. 4. an error that names what comes near.
    """

    def __init__(self, names: Names, presets: Callable[[str], Sequence[str]]) -> None:
        self._names = names
        self._presets = presets
        self._known: dict[str, Meant] = {}

    def of(self, name: str) -> Meant:
        """One dictionary look-up for a name that was asked for before. Raises UnknownProfile."""
        known = self._known.get(name)
        if known is None:
            known = self._find(name)
            if len(self._known) >= CACHED:
                self._known.clear()
            self._known[name] = known
        return known

    def _find(self, name: str) -> Meant:
        before, colon, preset = name.rpartition(":")
        profile = self._names.named(name)  # 1.
        base = self._names.find(before) if colon and profile is None else None
        if base is not None and preset in (known := self._presets(base)):  # 2.
            return Meant(base, preset)
        profile = profile or self._names.find(name)  # 3.
        if profile is None and base is not None:  # 4.
            raise _unknown(before, preset, known)
        return Meant(self._names.resolve(name), "")


def _unknown(name: str, preset: str, known: Sequence[str]) -> UnknownProfile:
    near = [f"{name}:{each}" for each in nearest(preset, known, SUGGESTED) or known[:SUGGESTED]]
    ask = f" Did you mean {', '.join(near)}?" if near else " It has none."
    return UnknownProfile(
        f'"{name[:128]}" has no preset "{preset[:64]}".{ask}', hint=f"`hostler presets {name[:128]}` shows its presets."
    )
