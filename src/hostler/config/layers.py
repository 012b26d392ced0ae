"""The layers a configuration is made of: file, environment, flags; each value with where it came from.

A later layer wins over an earlier one, key by key. Everything wrong is collected, nothing is raised, so that a
user sees all mistakes at once.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from typing import Final, Literal

import msgspec

from hostler.config.positions import Positions
from hostler.config.shape import KeyPath, Leaf, Map, Shape, Table, dotted, root, split, toml_text

PREFIX = "HOSTLER_"
_NOT_WORD = re.compile(r"[^a-z0-9]")


class Source(msgspec.Struct, frozen=True):
    """Where a value came from. ``name`` is the file, the variable or the flag; ``line`` counts from 1."""

    kind: Literal["default", "file", "env", "flag"]
    name: str = ""
    line: int | None = None

    def __str__(self) -> str:
        if self.kind == "file":
            return self.name if self.line is None else f"{self.name}:{self.line}"
        return self.kind if self.kind == "default" else f"{self.kind}:{self.name}"


DEFAULT = Source("default")

#: The value of a table that says nothing, whose name alone says something.
EMPTY: Final = object()


class Given(msgspec.Struct, frozen=True):
    """A value in its final type."""

    value: object
    source: Source


class Problem(msgspec.Struct, frozen=True):
    """One thing that is wrong: where, at which key, and what."""

    source: Source
    path: KeyPath
    text: str

    def __str__(self) -> str:
        return f"{self.source}: {dotted(self.path)}: {self.text}"


class Reading:
    """What the layers gave so far.

    ``given`` maps the path of each value to it; ``profiles`` maps each profile's name, in order, to where it
    was first mentioned; ``spoilt`` holds the paths that were meant but are not usable.
    """

    def __init__(self) -> None:
        self.given: dict[KeyPath, Given] = {}
        self.profiles: dict[str, Source] = {}
        self.problems: list[Problem] = []
        self.spoilt: set[KeyPath] = set()

    def blame(self, source: Source, path: KeyPath, text: str) -> None:
        """Note something wrong."""
        problem = Problem(source, path, text)
        if problem not in self.problems:
            self.problems.append(problem)

    def take(self, shape: Shape, path: KeyPath, value: object, source: Callable[[KeyPath], Source]) -> None:
        """Read ``value``, as the TOML parser gave it, at ``path``; ``source`` tells where a path stands."""
        if len(path) >= 2 and path[0] == "profiles":
            self.profiles.setdefault(path[1], source(path[:2]))
        if isinstance(shape, Leaf):
            self._leaf(shape, path, value, source(path))
        elif not isinstance(value, dict):
            self._wrong(source(path), path, value, "expected a table")
        elif isinstance(shape, Map):
            for name, item in value.items():
                if isinstance(shape.item, Table) and item == {} and path != ("profiles",):
                    self.given[(*path, name)] = Given(EMPTY, source((*path, name)))
                self.take(shape.item, (*path, name), item, source)
        else:
            self._table(shape, path, value, source)

    def _table(
        self, shape: Table, path: KeyPath, value: dict[str, object], source: Callable[[KeyPath], Source]
    ) -> None:
        for name, item in value.items():
            here = (*path, name)
            if field := shape.fields.get(name):
                self.take(field.shape, here, item, source)
                continue
            close = nearest(name, shape.fields)
            self.spoilt.update((*path, meant) for meant in close)
            self.blame(source(here), here, "unknown key" + ask(close, list(shape.fields)))

    def _leaf(self, shape: Leaf, path: KeyPath, value: object, source: Source) -> None:
        try:
            self.given[path] = Given(shape.read(value), source)
        except ValueError as error:
            close = nearest(value, shape.choices) if isinstance(value, str) else ()
            self._wrong(source, path, value, str(error) + ask(close))

    def _wrong(self, source: Source, path: KeyPath, value: object, text: str) -> None:
        self.spoilt.add(path)
        shown = toml_text(value)
        if len(shown) > 80:
            shown = shown[:77] + "..."
        self.blame(source, path, f"{shown} is wrong: {text}")

    def read_file(self, data: dict[str, object], name: str, positions: Positions) -> None:
        """The file's layer."""
        self.take(root(), (), data, lambda path: Source("file", name, positions.line(path)))

    def read_environment(self, environ: Mapping[str, str]) -> None:
        """``HOSTLER_SECTION__KEY`` variables; an empty one counts as not set."""
        for name in sorted(environ):
            if name.startswith(PREFIX) and "__" in name and environ[name].strip():
                self._variable(name, environ[name])

    def _variable(self, name: str, text: str) -> None:
        source = Source("env", name)
        shape: Shape = root()
        path: KeyPath = ()
        words = name.removeprefix(PREFIX).split("__")
        while words:
            if isinstance(shape, Leaf):
                self.blame(source, path, f"it is a value, not a table, so `{'__'.join(words)}` cannot follow")
                return
            part = self._part(shape, path, words, source)
            if part is None:
                return
            if isinstance(shape, Table) and part not in shape.fields:
                close = nearest(part, shape.fields)
                self.blame(source, (*path, part), "unknown key" + ask([variable((*path, meant)) for meant in close]))
                return
            shape = shape.fields[part].shape if isinstance(shape, Table) else shape.item
            path = (*path, part)
        self.take(shape, path, _parsed(shape, text), _always(source))

    def _part(self, shape: Map | Table, path: KeyPath, words: list[str], source: Source) -> str | None:
        """Take the next key of a variable's name off ``words``; None, and a problem, when it may mean several."""
        if isinstance(shape, Map) and isinstance(shape.item, Leaf) and shape.item.base is str:
            # The names of an engine's variables: case counts, and `__` is part of the name.
            part = "__".join(words)
            words.clear()
            return part
        word = words.pop(0)
        meant = _spelled(word, self._known(shape, path))
        if len(meant) > 1:
            self.blame(source, (*path, word), "it may mean " + " or ".join(f'"{name}"' for name in meant))
            return None
        return meant[0]

    def _known(self, shape: Shape, path: KeyPath) -> list[str]:
        if isinstance(shape, Table):
            return list(shape.fields)
        if path == ("profiles",):
            return list(self.profiles)
        below = (given[len(path)] for given in self.given if given[: len(path)] == path and len(given) > len(path))
        return list(dict.fromkeys(below))

    def read_flags(self, flags: Mapping[str, object]) -> None:
        """Flags by dotted key; None is a flag that was not given."""
        for key, value in flags.items():
            path = split(key)
            source = Source("flag", flag_name(path))
            if value is not None:
                self.take(root(), (), _nested(path, value), _always(source))


def flag_name(path: KeyPath) -> str:
    """The command-line flag of a key: ``--port`` for the gateway's own, ``--log-format`` for the others'."""
    words = path[1:] if path[0] == "gateway" else path
    return "--" + "-".join(words).replace("_", "-")


def variable(path: KeyPath) -> str:
    """The environment variable of a key."""
    return PREFIX + "__".join(re.sub(r"[^A-Za-z0-9]", "_", part) for part in path).upper()


def nearest(word: str, known: Iterable[str], count: int = 1) -> list[str]:
    """Up to ``count`` of the known words that look most like ``word``."""
    by_lower = {name.lower(): name for name in reversed(list(known))}
    return [by_lower[hit] for hit in difflib.get_close_matches(word.lower()[:128], by_lower, count, 0.55)]


def ask(close: Iterable[str], known: Iterable[str] = ()) -> str:
    """The end of a sentence about an unknown word: the near ones, else all that are known."""
    if names := ", ".join(f'"{name}"' for name in close):
        return f"; did you mean {names}?"
    if names := ", ".join(known):
        return f"; known here: {names}"
    return ""


def _always(source: Source) -> Callable[[KeyPath], Source]:
    return lambda _path: source


def _spelled(word: str, known: Iterable[str]) -> list[str]:
    """The known keys that a variable's ``word`` may mean: case and punctuation do not count; else it in lower case."""
    folded = _NOT_WORD.sub("_", word.lower())
    return [name for name in known if _NOT_WORD.sub("_", name.lower()) == folded] or [word.lower()]


def _parsed(shape: Shape, text: str) -> object:
    """A variable's text as TOML when that fits the key, else as the plain text."""
    try:
        data = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text
    value: object = data["value"] if data.keys() == {"value"} else text
    if isinstance(shape, Leaf) and not _readable(shape, value) and _readable(shape, text):
        return text
    return value


def _readable(shape: Leaf, value: object) -> bool:
    try:
        shape.read(value)
    except ValueError:
        return False
    return True


def _nested(path: KeyPath, value: object) -> dict[str, object]:
    *outer, last = path
    nested: dict[str, object] = {last: value}
    for part in reversed(outer):
        nested = {part: nested}
    return nested
