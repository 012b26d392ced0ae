"""The shipped presets: what makers publish for families of models, each with its source (``families.toml``)."""

from __future__ import annotations

import re
import tomllib
from functools import cache
from pathlib import Path

import msgspec

from hostler.config.sampling import Family, PresetSettings

_BETWEEN = re.compile(r"[^a-z0-9.]+")


class Published(PresetSettings, frozen=True, kw_only=True):
    """A preset as its ``source`` has it; ``also`` are further names for it.

    ``quoted_by`` says whose page the source is where it is not the maker's own.
    """

    source: str
    quoted_by: str = ""
    also: tuple[str, ...] = ()
    note: str = ""


class Known(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is published of a family. ``tools``, ``reasoning``, ``system`` and ``note`` are for people to read.

    ``match`` finds it in a model's name, ``architectures`` (if any) alone say it too. ``context`` is in tokens.
    """

    title: str
    match: str
    architectures: tuple[str, ...] = ()
    context: int | None = None
    images: bool = False
    tools: str
    reasoning: str
    system: str
    note: str = ""
    presets: dict[str, Published]

    @property
    def names(self) -> dict[str, Published]:
        """Its presets by all their names."""
        also = {name: preset for preset in self.presets.values() for name in preset.also}
        return {**self.presets, **also}


@cache
def families() -> dict[Family, Known]:
    """All of them, in the order in which they are tried."""
    text = Path(__file__).with_name("families.toml").read_text("utf-8")
    return msgspec.convert(tomllib.loads(text), dict[Family, Known])


def family_of(architecture: str, *names: str) -> Family | None:
    """The family of a model, by its header's architecture and by what it calls itself; None of one that is unknown."""
    plain = [f"{_BETWEEN.sub(' ', name.lower()).strip()} " for name in names]
    for family, known in families().items():
        if architecture in known.architectures or any(re.search(known.match, name) for name in plain):
            return family
    return None
