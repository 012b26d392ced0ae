"""Reads the configuration: defaults < file < environment < flags, every value with its source.

A missing file is an empty one. Whatever is wrong is collected and raised as one
:class:`~hostler.errors.ConfigError` with a line for each mistake.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from hostler.config.layers import DEFAULT, EMPTY, Given, Reading, Source
from hostler.config.positions import find
from hostler.config.profiles import Own, check_names, contradictions, inherit, problems
from hostler.config.remotes import usual_of
from hostler.config.settings import Config, Home, Settings
from hostler.config.shape import EXTENDS, NEVER, KeyPath, Leaf, Map, Table, dotted, root, toml_text
from hostler.errors import ConfigError

_AT_LINE = re.compile(r"\s*\(at (?:line (\d+), column \d+|end of document)\)$")


class Loaded(msgspec.Struct, frozen=True, kw_only=True):
    """A valid configuration. ``text`` is the file's, None when there is no file.

    ``sources`` has an entry for every key, written as in TOML (``profiles.tiny.context``). A value that came
    by `extends` has the line of the base where it stands.
    """

    config: Config
    sources: dict[str, Source]
    file: Path
    text: str | None

    @property
    def explicit(self) -> frozenset[str]:
        """The keys that file, environment or flags set."""
        return frozenset(key for key, source in self.sources.items() if source.kind != "default")


class ShownValue(msgspec.Struct, frozen=True):
    """One line of `config show`; ``value`` is TOML, `unset` where there is none."""

    key: str
    value: str
    source: str


def load(home: Home, environ: Mapping[str, str], flags: Mapping[str, object]) -> Loaded:
    """Read ``home.config_file`` and lay environment and flags (by dotted key) over it. Raises ConfigError."""
    return parse(read_text(home.config_file), home.config_file, environ, flags)


def read_text(file: Path) -> str | None:
    """The file's text, None when it does not exist. Raises ConfigError when it cannot be read."""
    try:
        return file.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        return None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise ConfigError(f"{file}:{line}: the file is not UTF-8 (byte {error.start})") from error
    except OSError as error:
        raise ConfigError(
            f"{file}: cannot be read: {error.strerror}", hint="Check its path and permissions."
        ) from error


def parse(
    text: str | None,
    file: Path,
    environ: Mapping[str, str] | None = None,
    flags: Mapping[str, object] | None = None,
) -> Loaded:
    """The same from text; ``file`` is its name in messages. Reads and writes nothing."""
    reading = Reading()
    if text is not None:
        reading.read_file(_toml(text, file), str(file), find(text))
    reading.read_environment(environ or {})
    reading.read_flags(flags or {})
    own = inherit(reading)
    check_names(reading, own)
    given = _everything(reading, own)
    config = _Builder(reading, given).config()
    for path, wrong in contradictions(config):
        reading.blame(_source(given, path), path, wrong)
    _refuse(reading)
    return Loaded(config=config, sources=_sources(config, given), file=file, text=text)


def _source(given: dict[KeyPath, Given], path: KeyPath) -> Source:
    """Where ``path`` was said; of one that was not, the table that it would stand in, if that has a place."""
    said = (path[:length] for length in range(len(path), 0, -1))
    return next((given[each].source for each in said if each in given), DEFAULT)


def _toml(text: str, file: Path) -> dict[str, object]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        match = _AT_LINE.search(str(error))
        line = int(match[1]) if match and match[1] else text.rstrip().count("\n") + 1
        raise ConfigError(f"{file}:{line}: not valid TOML: {_AT_LINE.sub('', str(error))}") from error
    except RecursionError as error:
        raise ConfigError(f"{file}: not valid TOML: nested too deeply") from error


def _refuse(reading: Reading) -> None:
    lines = tuple(str(problem) for problem in problems(reading))
    if not lines:
        return
    heading = () if len(lines) == 1 else (f"{len(lines)} things are wrong in the configuration:",)
    stop = "" if lines[-1].endswith("?") else "."
    raise ConfigError("\n  ".join((*heading, *lines)) + stop, problems=lines)


def _everything(reading: Reading, own: dict[str, Own]) -> dict[KeyPath, Given]:
    given = {path: value for path, value in reading.given.items() if path[0] != "profiles"}
    for name, values in own.items():
        given |= {("profiles", name, *path): value for path, value in values.items()}
    return given


class _Builder:
    """Makes the structs out of flat values; what must be written and is not gets noted."""

    def __init__(self, reading: Reading, given: dict[KeyPath, Given]) -> None:
        self._reading = reading
        self._tree: dict[str, object] = {}
        for path, value in given.items():
            _plant(self._tree, path, value)

    def config(self) -> Config:
        config = root().struct(**self._values(root(), (), self._tree))
        assert isinstance(config, Config)
        return config

    def _values(self, table: Table, path: KeyPath, tree: dict[str, object]) -> dict[str, object]:
        values: dict[str, object] = {}
        for name, field in table.fields.items():
            here, node = (*path, name), tree.get(name)
            if isinstance(node, Given):
                values[name] = node.value
            elif here == ("profiles",):
                values[name] = dict(self._profiles(field.shape, node if isinstance(node, dict) else {}))
            elif isinstance(field.shape, Map) and isinstance(field.shape.item, Table):
                values[name] = self._entries(field.shape.item, here, node if isinstance(node, dict) else {})
            elif isinstance(field.shape, Table):
                inner = self._values(field.shape, here, node if isinstance(node, dict) else {})
                values[name] = field.shape.struct(**inner)
            elif isinstance(node, dict):
                values[name] = {key: item.value for key, item in node.items()}
        return values

    def _entries(self, table: Table, path: KeyPath, tree: dict[str, object]) -> dict[str, Settings]:
        """The tables whose names the user chooses; what they leave out has defaults."""
        nodes = {name: node if isinstance(node, dict) else {} for name, node in tree.items()}
        return {name: table.struct(**self._values(table, (*path, name), node)) for name, node in nodes.items()}

    def _profiles(self, shape: object, tree: dict[str, object]) -> Iterator[tuple[str, Settings]]:
        assert isinstance(shape, Map)
        assert isinstance(shape.item, Table)
        for name, source in self._reading.profiles.items():
            path, node = ("profiles", name), tree.get(name)
            values = self._values(shape.item, path, node if isinstance(node, dict) else {})
            missing = [key for key, field in shape.item.fields.items() if field.default is msgspec.NODEFAULT]
            missing = [key for key in missing if key not in values]
            for key in missing:
                if (*path, key) not in self._reading.spoilt:
                    self._reading.blame(source, path, f"`{key}` is missing; every profile needs it")
            if not missing:
                yield name, shape.item.struct(**{**usual_of(values["engine"]), **values})


def _plant(tree: dict[str, object], path: KeyPath, value: Given) -> None:
    *outer, last = path
    for part in outer:
        inner = tree.setdefault(part, {})
        assert isinstance(inner, dict)
        tree = inner
    if value.value is EMPTY:
        tree.setdefault(last, {})
    else:
        tree[last] = value


def _sources(config: Config, given: dict[KeyPath, Given]) -> dict[str, Source]:
    return {dotted(path): given[path].source if path in given else DEFAULT for path, _, _ in _walk(root(), (), config)}


def _walk(table: Table, path: KeyPath, settings: Settings) -> Iterator[tuple[KeyPath, object, Leaf | None]]:
    """Every key of ``settings`` with its value, in the order of the structs; an empty table is one key."""
    for name, field in table.fields.items():
        if name == EXTENDS:
            continue
        here, value = (*path, name), getattr(settings, name)
        if isinstance(field.shape, Table):
            yield from _walk(field.shape, here, value)
        elif isinstance(field.shape, Map) and value:
            for key, item in value.items():
                if isinstance(field.shape.item, Table):
                    yield from _walk(field.shape.item, (*here, key), item)
                else:
                    yield (*here, key), item, field.shape.item
        else:
            yield here, value, field.shape if isinstance(field.shape, Leaf) else None


def show(loaded: Loaded) -> list[ShownValue]:
    """Every key with its value and source, in the order of the structs, profiles last."""
    shown = []
    for path, value, leaf in _walk(root(), (), loaded.config):
        text = toml_text(NEVER) if value is None and leaf and leaf.takes_never else toml_text(value)
        key = dotted(path)
        shown.append(ShownValue(key, text, str(loaded.sources[key])))
    return shown
