"""`models.conf`: sections of capital keys that a launcher script turns into one `llama-server` after another.

Such set-ups keep what all models share beside it, in `docker-compose.yml` and `.env`; see
:mod:`hostler.importers.compose`.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from hostler.errors import ConfigError
from hostler.importers.compose import Beside, beside
from hostler.importers.draft import Draft
from hostler.importers.ini import Entry, Section, parse
from hostler.importers.options import FALSE, TRUE, Option, from_command, from_key, layered, words
from hostler.importers.protocol import Imported, Note, gathered

KEYS = frozenset(
    {"NAME", "DESCRIPTION", "SPEED", "MODEL", "CTX_SIZE", "N_GPU_LAYERS", "FIT", "FIT_TARGET", "EXTRA_ARGS"}
)
_DEFAULTS = frozenset({"*", "default", "defaults", "global"})
_REMARK = re.compile(r"(.*?)\s+[#;](.*)", re.DOTALL)
_THOUSANDS = re.compile(r"(\d+)[kK]")


class ModelsConf:
    """Reads `models.conf`."""

    def read(self, text: str, path: Path) -> Imported:
        """One profile for each section; defaults come from before the first section and from the files beside."""
        shared = beside(path)
        document = parse(text, path)
        notes = [*shared.notes, *document.unowned(path.name)]
        conf = _Conf(path, shared, notes)
        common = conf.options(document.head, None)
        for section in (each for each in document.sections if _for_all(each)):
            common = layered(common, conf.options(section, None))
            notes += [
                Note(file=path.name, line=section.line, what="comment", why=f"not carried over: {said}")
                for said in section.comments
            ]
        drafts = [conf.draft(section, common) for section in document.sections if not _for_all(section)]
        notes += conf.unsaid(common)
        profiles = [profile for draft in drafts if (profile := draft.finish())]
        notes += [note for draft in drafts for note in draft.notes]
        return Imported(profiles=tuple(profiles), notes=gathered(notes), retired=tuple(document.retired))


class _Conf:
    def __init__(self, path: Path, shared: Beside, notes: list[Note]) -> None:
        self._path, self._shared, self._notes = path, shared, notes
        self._used: set[Option] = set()

    def draft(self, section: Section, common: list[Option]) -> Draft:
        """The profile of one section."""
        draft = Draft(section.name, self._path.name, section.line, self._shared.models)
        draft.comments += section.comments
        said = {entry.key: entry.value for entry in section.entries}
        draft.describe(said.get("NAME", ""), said.get("DESCRIPTION", ""))
        if said.get("SPEED"):
            draft.comments.append(f"speed: {said['SPEED']}")
        own = self.options(section, draft)
        everything = layered(layered(self._shared.options, common), own)
        self._used |= set(everything)
        for option in everything:
            draft.apply(self._on_host(option))
        return draft

    def _on_host(self, option: Option) -> Option:
        """Paths as a container sees them become paths of this machine."""
        return option._replace(values=tuple(self._shared.on_host(value) for value in option.values))

    def unsaid(self, common: list[Option]) -> list[Note]:
        """Defaults that no section took."""
        why = "not carried over: no profile needs it"
        left = [option for option in (*self._shared.options, *common) if option not in self._used]
        return [Note(file=o.file, line=o.line, what=f"`{o.text}`", why=why) for o in left]

    def options(self, section: Section, draft: Draft | None) -> list[Option]:
        """What the keys of a section mean as options; what they mean beyond that is noted."""
        found: list[Option] = []
        for entry in section.entries:
            if draft is not None and entry.key in ("NAME", "DESCRIPTION", "SPEED"):
                continue
            found += self._meaning(self._plain(entry, draft), draft)
        return found

    def _plain(self, entry: Entry, draft: Draft | None) -> Entry:
        """The entry without a remark behind its value."""
        remark = _REMARK.fullmatch(entry.value)
        if remark is None or entry.key == "MODEL" or not _splits(remark[1]):
            return entry
        if draft is not None:
            draft.comments.append(f"{entry.key}: {remark[2].strip()}")
        else:
            self._note(entry, f"its remark is not carried over: {remark[2].strip()}", draft)
        return entry._replace(value=remark[1])

    def _meaning(self, entry: Entry, draft: Draft | None) -> list[Option]:
        entry = entry._replace(value=self._shared.filled(entry.value))
        file, line, value = self._path.name, entry.line, entry.value
        if not value:
            self._note(entry, "empty", draft)
            return []
        match entry.key:
            case "EXTRA_ARGS":
                return from_command(words(value, self._path, line), file, line)
            case "FIT":
                on = {**dict.fromkeys(TRUE, "on"), **dict.fromkeys(FALSE, "off")}.get(value.lower())
                if on is None:
                    raise ConfigError(f"{self._path}:{line}: FIT is on or off, not `{value}`")
                return self._keyed(entry._replace(value=on), draft)
            case "CTX_SIZE" if short := _THOUSANDS.fullmatch(value):
                return self._keyed(entry._replace(value=str(int(short[1]) * 1024)), draft)
        return self._keyed(entry, draft)

    def _keyed(self, entry: Entry, draft: Draft | None) -> list[Option]:
        option = from_key(entry.key, entry.value, self._path, entry.line)
        if option is None:
            self._note(entry, "off is the default already", draft)
        elif option.flag is None:
            self._note(entry, "no counterpart", draft)
        else:
            return [option]
        return []

    def _note(self, entry: Entry, why: str, draft: Draft | None) -> None:
        owner = draft.name if draft else None
        self._notes.append(
            Note(file=self._path.name, line=entry.line, what=f"{entry.key} `{entry.value}`", why=why, profile=owner)
        )


def _for_all(section: Section) -> bool:
    """Whether a section holds defaults: it is called so, and names no model."""
    return section.name.lower() in _DEFAULTS and not any(entry.key == "MODEL" for entry in section.entries)


def _splits(text: str) -> bool:
    """Whether all quotes in ``text`` are closed."""
    try:
        shlex.split(text)
    except ValueError:
        return False
    return True
