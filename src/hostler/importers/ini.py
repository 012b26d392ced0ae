"""INI-like files line by line: sections, keys, comments with their owner, and sections that are commented out."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from hostler.errors import ConfigError
from hostler.importers.protocol import Note, Retired

_HEADER = re.compile(r"\[([^\]]+)\]\s*(?:[#;]\s*(.*))?")
_ENTRY = re.compile(r"([A-Za-z0-9_.*-]+)\s*=\s*(.*)", re.DOTALL)
_QUOTED = re.compile(r"""(?:"((?:[^"\\]|\\.)*)"|'([^']*)')\s*(?:[#;]\s*(.*))?""", re.DOTALL)


class Entry(NamedTuple):
    """``key = value`` with its line; quotes around the whole value are gone."""

    line: int
    key: str
    value: str


class Section:
    """A section: what stands in it, and the comments above and in it."""

    def __init__(self, name: str, line: int) -> None:
        self.name, self.line = name, line
        self.entries: list[Entry] = []
        self.comments: list[str] = []


class Document:
    """A whole file. ``head`` is what stands before the first section."""

    def __init__(self) -> None:
        self.head = Section("", 1)
        self.sections: list[Section] = []
        self.retired: list[Retired] = []

    def unowned(self, file: str) -> list[Note]:
        """A note for the comments that belong to no section."""
        said = " / ".join(self.head.comments)
        return [Note(file=file, line=self.head.line, what="comment", why=f"not carried over: {said}")] if said else []


def parse(text: str, path: Path) -> Document:
    """Read ``text``. Raises ConfigError with the line for what is neither section, key, comment nor continuation."""
    return _Reader(path).read(text)


class _Reader:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._document = Document()
        self._section = self._document.head
        self._comments: list[tuple[int, str]] = []
        self._seen: dict[str, int] = {}

    def read(self, text: str) -> Document:
        lines = text.removeprefix("\ufeff").splitlines()
        at = 0
        while at < len(lines):
            at = self._line(lines, at)
        self._settle()
        return self._document

    def _line(self, lines: list[str], at: int) -> int:
        """Take the line at ``at`` with what continues it; the index of the next."""
        line = lines[at].strip()
        if not line:
            self._settle()
        elif line[0] in "#;":
            end = self._retired(lines, at)
            if end > at:
                return end
            self._comments.append((at + 1, _bare(line)))
        elif header := _HEADER.fullmatch(line):
            self._open(header[1].strip(), at + 1)
            self._section.comments += [header[2]] if header[2] else []
        else:
            return self._entry(lines, at)
        return at + 1

    def _open(self, name: str, line: int) -> None:
        if name in self._seen:
            first = self._seen[name]
            raise ConfigError(f"{self._path}:{line}: [{name}] stands on line {first} already", hint="Rename one.")
        self._seen[name] = line
        self._section = Section(name, line)
        self._section.comments += [text for _, text in self._comments]
        self._comments = []
        self._document.sections.append(self._section)

    def _settle(self) -> None:
        """The comments so far belong to the section that is open."""
        self._section.comments += [text for _, text in self._comments if text]
        self._comments = []

    def _entry(self, lines: list[str], at: int) -> int:
        self._settle()
        first, value = at, lines[at].strip()
        while value.endswith("\\") and at + 1 < len(lines):
            at += 1
            value = value[:-1].rstrip() + " " + lines[at].strip()
        match = _ENTRY.fullmatch(value)
        if match is None:
            hint = "Expected `[section]`, `KEY = value` or a comment."
            raise ConfigError(f"{self._path}:{first + 1}: not understood: {value[:60]}", hint=hint)
        value, quoted = match[2].strip(), _QUOTED.fullmatch(match[2])
        if quoted is not None:
            value = re.sub(r'\\(["\\])', r"\1", quoted[1]) if quoted[1] is not None else quoted[2]
            self._section.comments += [f"{match[1]}: {quoted[3]}"] if quoted[3] else []
        self._refuse_double(match[1], first + 1)
        self._section.entries.append(Entry(first + 1, match[1], value))
        return at + 1

    def _refuse_double(self, key: str, line: int) -> None:
        for entry in self._section.entries:
            if entry.key == key:
                raise ConfigError(f"{self._path}:{line}: {key} stands on line {entry.line} already", hint="Remove one.")

    def _retired(self, lines: list[str], at: int) -> int:
        """The end of a commented-out section that begins at ``at``; ``at`` itself when none does."""
        header = _HEADER.fullmatch(_bare(lines[at].strip()))
        if header is None:
            return at
        end = at + 1
        while end < len(lines) and (line := lines[end].strip())[:1] in ("#", ";") and line:
            if _HEADER.fullmatch(_bare(line)):
                break
            end += 1
        body = [_bare(line.strip()) for line in lines[at + 1 : end]]
        if not any(_ENTRY.fullmatch(line) for line in body):
            return at
        # What was said right above it is about it.
        above = [text for _, text in self._comments]
        self._comments = []
        text = "\n".join([*above, *body])
        self._document.retired.append(Retired(name=header[1].strip(), line=at + 1, text=text))
        return end


def _bare(comment: str) -> str:
    return comment.lstrip("#; \t").rstrip()
