"""llama-swap's macros: ``${env.NAME}`` first, then the user's own, later ones made of earlier ones."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from hostler.config.layers import ask, nearest
from hostler.errors import ConfigError
from hostler.importers.yamltree import Item, Scalar

RESERVED = ("PORT", "PID", "MODEL_ID")
_MACRO = re.compile(r"\$\{([A-Za-z0-9_-]+)\}")
_ENV = re.compile(r"\$\{env\.([A-Za-z_][A-Za-z0-9_]*)\}")
_NAME = re.compile(r"[A-Za-z0-9_-]{1,63}")
# Doubling macros would otherwise fill the memory.
_LONGEST = 1 << 16


class Macros:
    """The macros of a file, or of one model over those of the file. ``used`` gathers names that were asked for."""

    def __init__(self, path: Path, environ: Mapping[str, str], values: dict[str, Scalar], used: set[str]) -> None:
        self._path, self._environ, self._values, self.used = path, environ, values, used

    def extended(self, table: Item) -> Macros:
        """These and the macros of ``table``, each of which may be made of those before it."""
        grown = Macros(self._path, self._environ, dict(self._values), self.used)
        for name, item in table.table.items():
            if not _NAME.fullmatch(name) or name in RESERVED:
                raise ConfigError(f"{self._path}:{item.line}: `{name}` cannot be the name of a macro")
            grown._values[name] = _scalar(grown.fill(item))
        return grown

    def with_model(self, name: str) -> Macros:
        """These for one model, whose name is ``${MODEL_ID}``."""
        return Macros(self._path, self._environ, {**self._values, "MODEL_ID": name}, self.used)

    def fill(self, item: Item) -> Item:
        """``item`` with all macros in it resolved, in the depth too; ``${PORT}`` and ``${PID}`` stay.

        Text that is nothing but one macro takes the macro's type. Raises ConfigError with file and line for a
        macro or variable that does not exist.
        """
        if isinstance(item.value, dict):
            filled = {Item(1, self._text(key, item.line)).text: self.fill(each) for key, each in item.value.items()}
            return Item(item.line, filled)
        if isinstance(item.value, list):
            return Item(item.line, [self.fill(each) for each in item.value])
        if isinstance(item.value, str):
            return Item(item.line, self._text(item.value, item.line))
        return Item(item.line, item.value)

    def _text(self, text: str, line: int) -> Scalar:
        text = _ENV.sub(lambda match: self._variable(match[1], line), text)
        alone = _MACRO.fullmatch(text)
        if alone:
            return self._value(alone[1], line)
        filled = _MACRO.sub(lambda match: Item(line, self._value(match[1], line)).text, text)
        if len(filled) > _LONGEST:
            raise ConfigError(f"{self._path}:{line}: the macros in it make more than {_LONGEST} characters")
        return filled

    def _value(self, name: str, line: int) -> Scalar:
        if name in ("PORT", "PID"):
            return f"${{{name}}}"
        if name not in self._values:
            close = ask(nearest(name, self._values))
            raise ConfigError(f"{self._path}:{line}: no macro is named `{name}`{close}", hint="Define it first.")
        self.used.add(name)
        return self._values[name]

    def _variable(self, name: str, line: int) -> str:
        value = self._environ.get(name)
        if value is None:
            hint = f"Set it for this command: {name}=... hostler import FILE"
            raise ConfigError(f"{self._path}:{line}: the environment has no {name}.", hint=hint)
        return value


def _scalar(item: Item) -> Scalar:
    return None if isinstance(item.value, dict | list) else item.value
