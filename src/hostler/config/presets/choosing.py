"""Which presets a profile has, and what one of them comes to.

A profile's own preset goes before the shipped one of that name field by field, and both before its `sampling`.
"""

from __future__ import annotations

import msgspec

from hostler.config.presets.published import families
from hostler.config.sampling import Effort, Family, PresetSettings, SamplingSettings
from hostler.config.settings import Profile

_FIELDS = SamplingSettings.__struct_fields__


class Chosen(msgspec.Struct, frozen=True):
    """What holds for requests that leave it out."""

    sampling: SamplingSettings
    reasoning: Effort | None


def listed(profile: Profile) -> tuple[str, ...]:
    """The presets that a profile has by its own configuration: its own ones, and those of the family that it names."""
    return names(profile, profile.family)


def names(profile: Profile, family: Family | None) -> tuple[str, ...]:
    """The same for a profile whose model is of ``family``."""
    shipped = families()[family].names if family is not None else {}
    return tuple(dict.fromkeys([*profile.presets, *shipped]))


def chosen(profile: Profile, preset: str, family: Family | None) -> Chosen:
    """What ``preset``, one of its :func:`names` or none (``""``), comes to in ``profile``."""
    if not preset:
        return Chosen(profile.sampling, profile.reasoning)
    shipped = families()[family].names.get(preset) if family is not None else None
    layers = [layer for layer in (shipped, profile.presets.get(preset)) if layer is not None]
    given = {name: value for layer in layers for name in _FIELDS if (value := getattr(layer, name)) is not None}
    return Chosen(msgspec.structs.replace(profile.sampling, **given), _reasoning(profile, layers))


def _reasoning(profile: Profile, layers: list[PresetSettings]) -> Effort | None:
    said = [layer.reasoning for layer in layers if layer.reasoning is not None]
    return said[-1] if said else profile.reasoning
