"""Imported profiles beside those that are there: names and aliases that are free, and nothing overwritten."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from hostler.config.layers import ask, nearest
from hostler.config.profiles import RESERVED
from hostler.config.settings import Config, Settings
from hostler.config.shape import Leaf, Shape, table
from hostler.errors import ConfigError
from hostler.importers.protocol import Imported, ImportedProfile, Note
from hostler.models.naming import readable

_LONGEST = 128


class Placed(msgspec.Struct, frozen=True, kw_only=True):
    """A profile under the name that it gets; ``source`` is what the file calls it."""

    name: str
    source: str
    fields: dict[str, object]
    comment: str


class Merge(msgspec.Struct, frozen=True, kw_only=True):
    """What to add, what is there already under the same name with the same values, and all notes."""

    profiles: tuple[Placed, ...]
    present: tuple[str, ...]
    notes: tuple[Note, ...]


def merge(imported: Imported, existing: Config, path: Path, only: Sequence[str]) -> Merge:
    """Names for what is new, in the source's order.

    1. The same profile under the same name is left alone: importing twice adds nothing. 2. A name that is taken
    gets a number. 3. What a name cannot hold becomes a dash, and the source's own name an alias. 4. Aliases that
    mean something already are left out. ``only`` takes some profiles by the source's names; ConfigError for
    one that the file does not have.
    """
    chosen = _chosen(imported, path, only)
    return _Merger(existing, path).run(chosen, imported.notes if not only else _about(imported.notes, only))


def _chosen(imported: Imported, path: Path, only: Sequence[str]) -> list[ImportedProfile]:
    names = [profile.name for profile in imported.profiles]
    for name in only:
        if name not in names:
            raise ConfigError(f'{path}: no profile is named "{name}"{ask(nearest(name, names))}', hint="")
    return [profile for profile in imported.profiles if not only or profile.name in only]


def _about(notes: Sequence[Note], only: Sequence[str]) -> tuple[Note, ...]:
    return tuple(note for note in notes if note.profile is None or note.profile in only)


class _Merger:
    def __init__(self, existing: Config, path: Path) -> None:
        self._existing, self._path = existing, path
        self._names = set(existing.profiles)
        self._aliases = {alias for profile in existing.profiles.values() for alias in profile.aliases}
        self._notes: list[Note] = []

    def run(self, profiles: Sequence[ImportedProfile], notes: Sequence[Note]) -> Merge:
        present = [each for each in profiles if self._same(each)]
        new = [each for each in profiles if each not in present]
        # All names first: an alias must not take the name of a profile that follows.
        named = [(self._name(each), each) for each in new]
        placed = [self._placed(name, each) for name, each in named]
        everything = sorted((*notes, *self._notes), key=lambda note: (note.file, note.line))
        return Merge(profiles=tuple(placed), present=tuple(each.name for each in present), notes=tuple(everything))

    def _same(self, profile: ImportedProfile) -> bool:
        wanted = readable(profile.name)
        numbered = re.compile(re.escape(wanted) + r"(-\d+)?")
        there = [known for name, known in self._existing.profiles.items() if numbered.fullmatch(name)]
        return any(_says(known, profile.fields) for known in there)

    def _name(self, profile: ImportedProfile) -> str:
        wanted = readable(profile.name)[: _LONGEST - 4]
        name, number = wanted, 2
        while name in self._names or name in self._aliases or name in RESERVED:
            name, number = f"{wanted}-{number}", number + 1
        if name != wanted:
            self._note(profile, f"`{wanted}` is taken: it is named `{name}`; rename either as you like")
        elif name != profile.name:
            self._note(profile, f"a name cannot be so: it is named `{name}`")
        self._names.add(name)
        return name

    def _placed(self, name: str, profile: ImportedProfile) -> Placed:
        given = profile.fields.get("aliases", ())
        wanted = [str(alias) for alias in given] if isinstance(given, tuple) else []
        if readable(profile.name) != profile.name:
            wanted.append(profile.name)
        aliases = tuple(alias for alias in dict.fromkeys(wanted) if self._free(alias, profile))
        self._aliases.update(aliases)
        # Keys stand where they stood; a list that is new comes last, before the tables.
        fields = {key: value for key, value in profile.fields.items() if key != "aliases"}
        tables: dict[str, object] = {key: fields.pop(key) for key in ("sampling", "engine") if key in fields}
        listed: dict[str, object] = {"aliases": aliases} if aliases else {}
        return Placed(name=name, source=profile.name, fields={**fields, **listed, **tables}, comment=profile.comment)

    def _free(self, alias: str, profile: ImportedProfile) -> bool:
        if len(alias) > _LONGEST or not alias.isprintable() or any(c.isspace() for c in alias):
            self._note(profile, f"the alias `{alias}` is left out: a name has no spaces")
        elif alias in self._names or alias in self._aliases or alias in RESERVED:
            self._note(profile, f"the alias `{alias}` is left out: it means something already")
        else:
            return True
        return False

    def _note(self, profile: ImportedProfile, why: str) -> None:
        self._notes.append(
            Note(file=self._path.name, line=profile.line, what="name", why=why, sort="changed", profile=profile.name)
        )


def _says(known: Settings, fields: Mapping[str, object]) -> bool:
    """Whether ``known`` has the values of ``fields``. Aliases may have been left out for another profile."""
    return all(
        _equal(getattr(known, key), table(type(known)).fields[key].shape, value)
        for key, value in fields.items()
        if key != "aliases"
    )


def _equal(known: object, shape: Shape, value: object) -> bool:
    if isinstance(known, Settings) and isinstance(value, Mapping):
        return _says(known, value)
    return known == (shape.read(value) if isinstance(shape, Leaf) else value)
