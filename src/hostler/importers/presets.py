"""llama-server's preset INI: ``[*]`` for all, any other section a model; keys are flags in one of three spellings."""

from __future__ import annotations

from pathlib import Path

from hostler.importers.draft import Draft
from hostler.importers.ini import Section, parse
from hostler.importers.options import FALSE, Option, from_key, layered
from hostler.importers.protocol import Imported, Note, gathered

_ALL = "*"
_ROUTER = {
    "load-on-startup": "`preload` in `[gateway]` loads profiles at start",
    "stop-timeout": "see `[limits] grace_s`",
    "dedup-cache-models": "the library lists a model once",
}


class Presets:
    """Reads the preset file that `llama-server --models-preset` takes."""

    def read(self, text: str, path: Path) -> Imported:
        """One profile for each section but ``[*]``. A section that names no model means the one of its own name."""
        document = parse(text, path)
        notes = document.unowned(path.name)
        notes += [
            Note(file=path.name, line=entry.line, what=f"{entry.key} = {entry.value}", why="it is about the file")
            for entry in document.head.entries
        ]
        base: list[Option] = []
        for section in (each for each in document.sections if each.name == _ALL):
            base += _options(section, path, notes)
            notes += [Note(file=path.name, line=section.line, what="comment", why=f"not carried over: {said}")
                      for said in section.comments]  # fmt: skip
        drafts, used = [], set[Option]()
        for section in (each for each in document.sections if each.name != _ALL):
            everything = layered(base, _options(section, path, notes))
            used |= set(everything)
            drafts.append(_draft(section, everything, path))
        profiles = [profile for draft in drafts if (profile := draft.finish())]
        notes += [note for draft in drafts for note in draft.notes]
        notes += [
            Note(file=path.name, line=option.line, what=f"`{option.text}`", why="not carried over: no profile needs it")
            for option in base
            if option not in used
        ]
        return Imported(profiles=tuple(profiles), notes=gathered(notes), retired=tuple(document.retired))


def _options(section: Section, path: Path, notes: list[Note]) -> list[Option]:
    found = []
    for entry in section.entries:
        option = None
        if entry.key in _ROUTER:
            why = _ROUTER[entry.key]
        elif (option := from_key(entry.key, entry.value, path, entry.line)) is None:
            why = "off is the default already"
        if option is not None:
            found.append(option)
        elif entry.key != "load-on-startup" or entry.value.lower() not in FALSE:
            owner = section.name if section.name != _ALL else None
            notes.append(
                Note(file=path.name, line=entry.line, what=f"{entry.key} = {entry.value}", why=why, profile=owner)
            )
    return found


def _draft(section: Section, options: list[Option], path: Path) -> Draft:
    draft = Draft(section.name, path.name, section.line, path.absolute().parent)
    draft.comments += section.comments
    for option in options:
        draft.apply(option)
    if not {"--model", "--hf-repo", "--model-url"} & {option.key for option in options}:
        here = Option(path.name, section.line, f"[{section.name}]", (), None)
        draft.named(section.name, here, "it names no model, so it means the library's one of that name")
    return draft
