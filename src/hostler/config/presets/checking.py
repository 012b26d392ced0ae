"""Presets and request fields that are each of the right type but cannot be meant."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from hostler.config.layers import ask, nearest
from hostler.config.presets.choosing import listed
from hostler.config.settings import Profile
from hostler.config.shape import KeyPath

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_FIELD: Final = re.compile(r"[^\s,.]+(\.[^\s,.]+)*")
#: What a client calls the profile itself by (Ollama's tags).
_RESERVED: Final = frozenset({"latest"})
#: What a request is about, and what is the gateway's own to say.
_KEPT: Final = frozenset({"model", "stream", "messages", "input", "prompt", "id_slot"})


def wrong_with_requests(profile: Profile) -> Iterator[tuple[KeyPath, str]]:
    """What is wrong with each of them, with its key inside the profile."""
    for name, preset in profile.presets.items():
        said = [field for field in preset.__struct_fields__ if getattr(preset, field) is not None]
        at: KeyPath = ("presets", name, *said[:1])
        if name in _RESERVED:
            yield at, f'"{name}" means no preset'
        elif not _NAME.fullmatch(name):
            yield at, f'"{name[:64]}" is no name of a preset: it has letters, digits and . _ -'
    if profile.preset and profile.preset not in listed(profile):
        yield ("preset",), f'the profile has no preset "{profile.preset}"{_instead(profile)}'
    yield from _fields("set", profile.request.set)
    for _, wrong in _fields("strip", profile.request.strip):
        yield ("request", "strip"), wrong


def _instead(profile: Profile) -> str:
    known = listed(profile)
    if known:
        return ask(nearest(profile.preset, known), known)
    return "; write one in `presets`, or set `family` for those that `hostler presets` shows"


def is_preset(name: str) -> bool:
    """Whether a preset may be called so."""
    return _NAME.fullmatch(name) is not None and name not in _RESERVED


def wrong_field(name: str) -> str | None:
    """Why a profile may not set or strip the field ``name``; None when it may."""
    first = name.partition(".")[0]
    if not _FIELD.fullmatch(name):
        return f'"{name}" is no field'
    return f"`{first}` is not a profile's to change" if first in _KEPT else None


def _fields(key: str, names: dict[str, object] | tuple[str, ...]) -> Iterator[tuple[KeyPath, str]]:
    for name in names:
        if (wrong := wrong_field(name)) is not None:
            yield ("request", key, name), wrong
