"""A file's new text from its old one and what a client needs: what the user has in it besides stays. Writes nothing."""

from __future__ import annotations

import difflib
import json
import re
import textwrap
from collections.abc import Mapping, MutableMapping
from pathlib import Path
from typing import Final

from hostler.cli.connect.client import Tree, Wanted
from hostler.errors import InvalidRequest

BEGIN: Final = "# >>> hostler connect >>>"
END: Final = "# <<< hostler connect <<<"
HIDDEN: Final = "(the new key)"
KEPT: Final = "(its key)"
_KEY: Final = re.compile(r"\bhostler-[A-Za-z0-9_-]{32}")
_ENTRY: Final = re.compile(r"^( *)- ", re.MULTILINE)


def composed(wanted: Wanted, current: str | None) -> str:
    """What the file will be; ``current`` is None when there is none. Raises InvalidRequest when it cannot be read."""
    match wanted.form:
        case "json":
            return _json(wanted, current)
        case "toml":
            return _toml(wanted, current)
        case "block":
            rest = without_block(current or "")
            gap = "" if not rest or rest.endswith("\n") else "\n"
            return f"{rest}{gap}{BEGIN}\n{textwrap.indent(wanted.text, _indent(rest))}{END}\n"
        case "text":
            return wanted.text


def _indent(text: str) -> str:
    """How far the entries of a list in YAML are indented: further ones have to be as far."""
    first = _ENTRY.search(text)
    return "" if first is None else first[1]


def without_block(text: str) -> str:
    """``text`` without our block, every other line as it was."""
    before, found, rest = text.partition(f"{BEGIN}\n")
    if not found:
        return text
    _, closed, after = rest.partition(f"{END}\n")
    return before + after if closed else text


def changes(path: Path, current: str | None, fresh: str, key: str | None) -> str:
    """The difference as a unified diff, with ``key`` and every other one hidden; empty when there is none."""
    lines = difflib.unified_diff(
        (current or "").splitlines(keepends=True),
        fresh.splitlines(keepends=True),
        str(path) if current is not None else "/dev/null",
        str(path),
    )
    told = "".join(line if line.endswith("\n") else f"{line}\n" for line in lines)
    return veiled(told, key)


def veiled(text: str, key: str | None, *, tells: bool = False) -> str:
    """``text`` without keys; ``tells``: but for ``key``, which was just made and stands nowhere else yet."""
    text = text if tells or key is None else text.replace(key, HIDDEN)
    return _KEY.sub(lambda found: found[0] if found[0] == key else KEPT, text)


def _json(wanted: Wanted, current: str | None) -> str:
    try:
        held = json.loads(current) if current and current.strip() else {}
    except ValueError as error:
        raise InvalidRequest(
            f"{wanted.path} is not plain JSON ({error}), so it would lose what is in it.",
            hint="Move it away, or put into it by hand what is shown without --write.",
        ) from error
    if not isinstance(held, dict):
        raise InvalidRequest(f"{wanted.path} holds no JSON object.", hint="Move it away.")
    _merge(held, wanted.tree)
    return json.dumps(held, indent=2, ensure_ascii=False) + "\n"


def _merge(held: MutableMapping[str, object], tree: Tree) -> None:
    for name, value in tree.items():
        inner = held.get(name)
        if isinstance(value, Mapping) and isinstance(inner, MutableMapping):
            _merge(inner, value)
        else:
            held[name] = value


def _toml(wanted: Wanted, current: str | None) -> str:
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    try:
        document = tomlkit.parse(current or "")
        _merge(document, wanted.tree)
        return tomlkit.dumps(document)
    except TOMLKitError as error:
        raise InvalidRequest(f"{wanted.path} is not TOML: {error}.", hint="Mend it or move it away.") from error
