"""Which importer reads a file: by what it is called, then by what stands in it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from hostler.errors import ConfigError
from hostler.importers.llamaswap import LlamaSwap
from hostler.importers.modelfile import Modelfile
from hostler.importers.modelsconf import KEYS, ModelsConf
from hostler.importers.presets import Presets
from hostler.importers.protocol import Imported, Importer, Kind

LARGEST = 2**20
_FROM = re.compile(r"^\s*FROM\s+\S", re.IGNORECASE | re.MULTILINE)
_SECTION = re.compile(r"^\s*\[[^\]\n]+\]", re.MULTILINE)
_MODELS = re.compile(r"^models\s*:", re.MULTILINE)
_SERVICES = re.compile(r"^services\s*:", re.MULTILINE)
_OURS = re.compile(r"^\s*\[profiles\.[^\]\n]+\]", re.MULTILINE)
_CONF_KEY = re.compile(rf"^\s*(?:{'|'.join(sorted(KEYS))})\s*=", re.MULTILINE)


def importers(environ: Mapping[str, str]) -> dict[Kind, Importer]:
    """Every format with what reads it."""
    return {
        "models-conf": ModelsConf(),
        "llama-swap": LlamaSwap(environ),
        "llama-server": Presets(),
        "ollama": Modelfile(),
    }


def detect(text: str, path: Path) -> Kind:
    """What kind of file it is. Raises ConfigError when it looks like none of them.

    1. profiles of our own need no importing 2. sections with capital keys of `models.conf` 3. any other sections: a
    preset 4. a top-level ``models:`` 5. a FROM.
    """
    if _OURS.search(text):
        hint = "Use it with `--config`, or copy the profiles you want into your hostler.toml."
        raise ConfigError(f"{path}:1: it has Hostler's own profiles; nothing is to be imported.", hint=hint)
    if _SECTION.search(text):
        return "models-conf" if _CONF_KEY.search(text) else "llama-server"
    if _MODELS.search(text):
        return "llama-swap"
    if _FROM.search(text):
        return "ollama"
    hint = "Say what it is with `--from`."
    if _SERVICES.search(text):
        hint = "It is a compose file: import the `models.conf` beside it, and this one is read with it."
    raise ConfigError(f"{path}:1: it looks like no file that can be imported.", hint=hint)


def read(path: Path, kind: Kind | None, environ: Mapping[str, str]) -> tuple[Kind, Imported]:
    """Read a file of the given kind, or of the one it looks like. Raises ConfigError."""
    text = _text(path)
    found = kind or detect(text, path)
    return found, importers(environ)[found].read(text, path)


def _text(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            data = stream.read(LARGEST + 1)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}", hint="Check the path.") from error
    if len(data) > LARGEST:
        raise ConfigError(f"{path}: too large for a configuration (over 1 MiB)", hint="Is it the right file?")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise ConfigError(f"{path}:{line}: the file is not UTF-8", hint="Is it the right file?") from error
