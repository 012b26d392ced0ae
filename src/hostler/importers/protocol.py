"""What every importer gives: profiles, and a note for whatever did not become part of one.

A format is one file with a class that satisfies :class:`Importer`. Nothing of a source may vanish: each line
ends up in a profile, in a :class:`Note`, or among the :class:`Retired`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Protocol

import msgspec

Kind = Literal["models-conf", "llama-swap", "llama-server", "ollama"]
# "unused": it has no counterpart, or Hostler does it by itself. "changed": it means something else here.
Sort = Literal["unused", "changed"]


class Note(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that a person should know: where it stands, what it is, what became of it and why."""

    file: str
    line: int
    what: str
    why: str
    sort: Sort = "unused"
    profile: str | None = None

    def __str__(self) -> str:
        owner = f" [{self.profile}]" if self.profile else ""
        return f"{self.file}:{self.line}{owner} {self.what}: {self.why}"


class Retired(msgspec.Struct, frozen=True, kw_only=True):
    """A profile that the source holds only as a comment."""

    name: str
    line: int
    text: str


class ImportedProfile(msgspec.Struct, frozen=True, kw_only=True):
    """A profile as the source calls it. ``fields`` are as in TOML; ``comment`` goes above its table."""

    name: str
    line: int
    fields: dict[str, object]
    comment: str = ""


class Imported(msgspec.Struct, frozen=True, kw_only=True):
    """What a source file holds."""

    profiles: tuple[ImportedProfile, ...] = ()
    notes: tuple[Note, ...] = ()
    retired: tuple[Retired, ...] = ()


class Importer(Protocol):
    """Reads one format."""

    def read(self, text: str, path: Path) -> Imported:
        """The profiles in ``text``, which stands in ``path``: relative paths in it start from there.

        Files that belong to the format (a compose file beside it) are read too. Raises ConfigError, which
        names file and line, for what cannot be read as this format.
        """


def gathered(notes: list[Note]) -> tuple[Note, ...]:
    """Notes by place, each once: what concerns several profiles alike loses the profile's name.

    Things of one line with one fate share a note.
    """
    owners: dict[tuple[str, int, str, str], set[str | None]] = {}
    first: dict[tuple[str, int, str, str], Note] = {}
    for note in notes:
        key = (note.file, note.line, note.what, note.why)
        owners.setdefault(key, set()).add(note.profile)
        first.setdefault(key, note)
    merged = [
        note if len(owners[key]) == 1 else msgspec.structs.replace(note, profile=None) for key, note in first.items()
    ]
    return tuple(sorted(_joined(merged), key=lambda note: (note.file, note.line)))


def _joined(notes: list[Note]) -> list[Note]:
    alike: dict[Note, list[str]] = {}
    for note in notes:
        alike.setdefault(msgspec.structs.replace(note, what=""), []).append(note.what)
    return [msgspec.structs.replace(note, what=", ".join(what)) for note, what in alike.items()]
