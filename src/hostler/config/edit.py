"""Changes `hostler.toml` the way a careful person would: comments and order stay, nothing half-written is ever seen.

Every change is checked before it takes the file's place: the new text must be valid as a configuration, and its
data must be the old data with just this change. Imports tomlkit; import this module only where a file is edited.
"""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
import tomllib
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from pathlib import Path

import msgspec
import tomlkit
from tomlkit.items import Table

from hostler.config.layers import ask, nearest
from hostler.config.load import parse, read_text
from hostler.config.positions import Header, find
from hostler.config.shape import KeyPath, dotted, split
from hostler.errors import ConfigError

Data = dict[str, object]
_FORBIDDEN = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


class NewProfile(msgspec.Struct, frozen=True, kw_only=True):
    """``fields`` are as in TOML; a mapping becomes a table of its own, None is left out."""

    name: str
    fields: Mapping[str, object]
    comment: str = ""


def add_profile(file: Path, name: str, fields: Mapping[str, object], comment: str | None = None) -> None:
    """Write ``[profiles.NAME]`` at the end of ``file``, which is made if it does not exist.

    ``fields`` are as in TOML; a mapping becomes a table of its own (``engine``, ``sampling``), None is left out.
    Raises ConfigError: the name exists, a value is wrong, or the file cannot be written.
    """
    add_profiles(file, [NewProfile(name=name, fields=fields, comment=comment or "")])


def add_profiles(file: Path, profiles: Sequence[NewProfile]) -> None:
    """Write all of ``profiles`` at the end of ``file``, or none of them. Raises ConfigError as :func:`add_profile`."""
    _edit(file, lambda text, data: _with_profiles(file, text, data, profiles))


def with_profiles(text: str, file: Path, profiles: Sequence[NewProfile]) -> str:
    """What ``text``, the content of ``file``, would be with ``profiles`` added. Writes nothing; raises ConfigError."""
    return _changed(text, file, lambda text, data: _with_profiles(file, text, data, profiles))


def _with_profiles(file: Path, text: str, data: Data, profiles: Sequence[NewProfile]) -> str:
    for profile in profiles:
        if profile.name in _profiles(data):
            raise ConfigError(f'{file}: a profile named "{profile.name}" exists already', hint="Take another name.")
        _graft(data, ("profiles", profile.name), _plain(profile.fields))
        block = _remark(profile.comment) + _rendered(("profiles", profile.name), profile.fields)
        text = (text.rstrip() + "\n\n" if text.strip() else "") + block
    return text


def set_value(file: Path, key: str, value: object) -> None:
    """Set one dotted key (``profiles.tiny.context``, names with dots quoted); missing tables are made.

    Raises ConfigError when the key is unknown, the value wrong, or the file cannot be written.
    """
    path = split(key)

    def change(text: str, data: Data) -> str:
        _graft(data, path, value)
        document = tomlkit.parse(text)
        table: MutableMapping[str, object] = document
        for part in path[:-1]:
            if part not in table:
                table[part] = tomlkit.table()
            inner = table[part]
            if not isinstance(inner, MutableMapping):
                raise ConfigError(f"{file}: {key}: `{part}` is a value, not a table")
            table = inner
        table[path[-1]] = value
        return tomlkit.dumps(document)

    _edit(file, change)


def remove_profile(file: Path, name: str) -> None:
    """Take a profile out, with its tables and the comment right above it.

    Raises ConfigError: there is no such profile, another one needs it, or it is not written as
    ``[profiles.NAME]``.
    """

    def change(text: str, data: Data) -> str:
        profiles = _profiles(data)
        if name not in profiles:
            raise ConfigError(f'{file}: no profile is named "{name}"{ask(nearest(name, profiles))}')
        del profiles[name]
        if not profiles and "[profiles]" not in text.replace(" ", ""):
            del data["profiles"]
        return _without(text, ("profiles", name))

    _edit(file, change)


def _edit(file: Path, change: Callable[[str, Data], str]) -> None:
    """Replace the file's text by ``change(text, data)``, which also makes the same change to ``data``."""
    target = file.resolve()
    before = read_text(target)
    _replace(target, before, _changed(before, file, change))


def _changed(before: str | None, file: Path, change: Callable[[str, Data], str]) -> str:
    """The new text, proven to be valid and to differ in just the change."""
    parse(before, file)
    expected = tomllib.loads(before or "")
    after = change(before or "", expected)
    parse(after, file)
    if tomllib.loads(after) != expected:
        raise ConfigError(f"{file}: this cannot be changed safely by a program", hint="Edit the file by hand.")
    return after


def _replace(target: Path, before: str | None, after: str) -> None:
    """Put ``after`` in place of ``before`` in one step that survives a power cut."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        mode = target.stat().st_mode & 0o7777 if before is not None else 0o600
        handle, temporary = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
        try:
            with os.fdopen(handle, "w", encoding="utf-8", newline="") as stream:
                stream.write(after)
                stream.flush()
                os.fchmod(stream.fileno(), mode)
                os.fsync(stream.fileno())
            if read_text(target) != before:
                raise ConfigError(f"{target}: somebody else changed the file meanwhile", hint="Try again.")
            os.replace(temporary, target)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise
        _sync_folder(target.parent)
    except OSError as error:
        raise ConfigError(f"{target}: cannot be written: {error.strerror}", hint="Check its permissions.") from error


def _sync_folder(folder: Path) -> None:
    """Make the rename itself durable; not every file system can."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _profiles(data: Data) -> dict[str, object]:
    profiles = data.get("profiles", {})
    assert isinstance(profiles, dict)  # the text was valid before the edit
    return profiles


def _plain(fields: Mapping[str, object]) -> Data:
    """``fields`` as tomllib would read them back."""
    plain: Data = {}
    for key, value in fields.items():
        if isinstance(value, Mapping):
            plain[key] = _plain(value)
        elif value is not None:
            plain[key] = list(value) if isinstance(value, tuple) else value
    return plain


def _graft(data: Data, path: KeyPath, value: object) -> None:
    *outer, last = path
    for part in outer:
        inner = data.setdefault(part, {})
        if not isinstance(inner, dict):
            raise ConfigError(f"{dotted(path)}: `{part}` is a value, not a table")
        data = inner
    data[last] = list(value) if isinstance(value, tuple) else value


def _remark(comment: str) -> str:
    """``comment`` as comment lines; what TOML forbids in one becomes a space."""
    return "".join(f"# {_FORBIDDEN.sub(' ', line)}".rstrip() + "\n" for line in comment.splitlines())


def _rendered(path: KeyPath, fields: Mapping[str, object]) -> str:
    """A table and the tables in it as TOML text."""
    table = tomlkit.table()
    inner: list[tuple[str, Mapping[str, object]]] = []
    for key, value in _plain(fields).items():
        if isinstance(value, Mapping):
            inner.append((key, value))
        else:
            table.add(key, tomlkit.item(value))
    blocks = [f"[{dotted(path)}]\n{_body(table)}"]
    blocks += [_rendered((*path, key), value) for key, value in inner]
    return "\n".join(blocks)


def _body(table: Table) -> str:
    text = table.as_string()
    return text if not text or text.endswith("\n") else text + "\n"


def _without(text: str, path: KeyPath) -> str:
    """``text`` without the tables at and below ``path``, each from the comment above its header."""
    lines = re.findall(r"[^\n]*\n|[^\n]+", text)
    headers = find(text).headers
    starts = [_block_start(lines, header) for header in headers] + [len(lines)]
    for index in reversed(range(len(headers))):
        if headers[index].path[: len(path)] == path:
            del lines[starts[index] : starts[index + 1]]
    return "".join(lines).rstrip() + "\n"


def _block_start(lines: list[str], header: Header) -> int:
    """The index of the first line of the comment right above a header, else of the header."""
    start = header.line - 1
    while start > 0 and lines[start - 1].lstrip().startswith("#"):
        start -= 1
    return start
