"""All that an import says, as text to look for things in."""

from __future__ import annotations

from hostler.importers.protocol import Imported


def told(imported: Imported) -> str:
    """Profiles with their comments, notes and what is retired."""
    lines = [f"{each.name} {each.fields!r} {each.comment}" for each in imported.profiles]
    lines += [str(note) for note in imported.notes]
    lines += [f"{each.name} {each.text}" for each in imported.retired]
    return "\n".join(lines)


def notes(imported: Imported, about: str) -> list[str]:
    """The notes in which ``about`` stands."""
    return [str(note) for note in imported.notes if about in str(note)]
