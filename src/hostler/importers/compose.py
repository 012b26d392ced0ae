"""What lies beside a `models.conf`: `docker-compose.yml` and `.env` with options for all models, and their root."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from hostler.errors import ConfigError
from hostler.importers.options import Option, from_command, from_key, words
from hostler.importers.protocol import Note
from hostler.importers.yamltree import Item, comments, load

COMPOSE = ("docker-compose.yml", "docker-compose.yaml", "compose.yml", "compose.yaml")
_ROOT = re.compile(r"(?:LLAMA_ARG_)?(?:MODELS?_(?:DIR|ROOT|PATH|FOLDER)|MODELS)")
_OPTION = re.compile(r"LLAMA_ARG_\w+|CTX_SIZE|N_GPU_LAYERS|FIT|FIT_TARGET")
# Names that launcher scripts made up for flags; and flags whose name in capitals means something else here.
_OWN_NAMES = {
    "KV_TYPE": ("CACHE_TYPE_K", "CACHE_TYPE_V"), "KV_CACHE_TYPE": ("CACHE_TYPE_K", "CACHE_TYPE_V"),
    "CACHE_TYPE": ("CACHE_TYPE_K", "CACHE_TYPE_V"), "KV_TYPE_K": ("CACHE_TYPE_K",), "KV_TYPE_V": ("CACHE_TYPE_V",),
    "KV_CACHE_TYPE_K": ("CACHE_TYPE_K",), "KV_CACHE_TYPE_V": ("CACHE_TYPE_V",), "MARGIN": ("FIT_TARGET",),
    "MARGINS": ("FIT_TARGET",), "FIT_MARGIN": ("FIT_TARGET",), "FIT_MARGINS": ("FIT_TARGET",),
}  # fmt: skip
_OTHERS = frozenset({"PATH", "TAGS", "KEEP", "POLL", "TIMEOUT"})
_SETTING = re.compile(r"(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*)")
_NAMED = re.compile(r"\$(?:\{(\w+)\}|(\w+))")
_REMARK = re.compile(r"""(?:^|\s)#+\s*([^"'\n]*)$""")
_VARIABLE = re.compile(r"\$\$|\$\{(\w+)(?::?([-+?])([^}]*))?\}|\$(\w+)")


class Beside(NamedTuple):
    """Options for all models, the folder that relative model paths start from, mounts (inside, outside), notes.

    ``variables`` are those of `.env`.
    """

    options: tuple[Option, ...]
    models: Path
    mounts: tuple[tuple[str, str], ...]
    notes: tuple[Note, ...]
    variables: Mapping[str, str]

    def filled(self, text: str) -> str:
        """``text`` with the variables of `.env` in it resolved; any other ``$`` is text."""
        return _NAMED.sub(lambda match: self.variables.get(match[1] or match[2], match[0]), text)

    def on_host(self, value: str) -> str:
        """A path inside the container as a path of this machine; anything else as it is."""
        for inside, outside in self.mounts:
            if value == inside or value.startswith(inside.rstrip("/") + "/"):
                return os.path.normpath(outside + value[len(inside.rstrip("/")) :])
        return value


def beside(path: Path) -> Beside:
    """What the files next to ``path`` say. Raises ConfigError when one of them cannot be read."""
    return _Reader(path.absolute().parent).read()


class _Reader:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._notes: list[Note] = []
        self._options: list[Option] = []
        self._mounts: list[tuple[str, str]] = []
        self._root: str | None = None
        self._taken: set[str] = set()

    def read(self) -> Beside:
        variables = self._dotenv()
        plain = {name: value for name, (_, value) in variables.items()}
        for file in (self._folder / name for name in COMPOSE):
            if (text := _text(file)) is not None:
                self._compose(file, text, plain)
                break
        for name, (line, value) in variables.items():
            if name not in self._taken:
                self._variable(".env", line, name, value)
        # The longest mount is the most exact one.
        mounts = tuple(sorted(self._mounts, key=lambda pair: -len(pair[0])))
        shell = Beside((), self._folder, mounts, (), plain)
        root = Path(shell.on_host(self._root)) if self._root else self._only_mount()
        models = Path(os.path.normpath(self._folder / root.expanduser()))
        return Beside(tuple(self._options), models, mounts, tuple(self._notes), plain)

    def _only_mount(self) -> Path:
        named = [outside for inside, outside in self._mounts if "model" in PurePosixPath(inside).name.lower()]
        return Path(named[0]) if named else self._folder

    def _dotenv(self) -> dict[str, tuple[int, str]]:
        file, found = self._folder / ".env", {}
        for at, line in enumerate((_text(file) or "").splitlines(), 1):
            bare = line.strip()
            if said := _REMARK.search(bare):
                self._note(".env", at, "comment", f"not carried over: {said[1]}")
            if not bare or bare.startswith("#"):
                continue
            match = _SETTING.fullmatch(bare)
            if match is None:
                raise ConfigError(f"{file}:{at}: not understood: {bare[:60]}", hint="Expected `NAME=value`.")
            value = re.sub(r"""(^|\s)#[^"']*$""", "", match[2]).strip()
            found[match[1]] = (at, value.strip("\"'"))
        return found

    def _compose(self, file: Path, text: str, variables: Mapping[str, str]) -> None:
        for at, said in comments(text):
            self._note(file.name, at, "comment", f"not carried over: {said}")
        services = load(text, file).table.get("services", Item(1, {})).table
        chosen = [name for name, item in services.items() if _serves(item)]
        for name, item in services.items():
            if name in chosen[:1]:
                self._service(file, item, variables)
            else:
                why = "only the first service that runs llama.cpp counts" if name in chosen else "it runs no models"
                self._note(file.name, item.line, f"service {name}", f"not carried over: {why}")

    def _service(self, file: Path, service: Item, variables: Mapping[str, str]) -> None:
        for key, item in service.table.items():
            if key == "environment":
                for line, name, value in _pairs(item):
                    self._variable(file.name, line, name, self._filled(value, variables))
            elif key == "command":
                self._command(file, item, variables)
            elif key == "volumes":
                self._volumes(file.name, item, variables)
            else:
                self._note(file.name, item.line, key, "not carried over: Hostler runs engines without a container")

    def _command(self, file: Path, item: Item, variables: Mapping[str, str]) -> None:
        if item.items:
            argv = [(each.line, self._filled(each.text, variables)) for each in item.items]
            flat = [word for _, word in argv]
        else:
            flat = words(self._filled(item.text, variables), file, item.line)
        while flat and not flat[0].startswith("-"):
            flat = flat[1:]
        self._options += from_command(flat, file.name, item.line)

    def _volumes(self, file: str, item: Item, variables: Mapping[str, str]) -> None:
        for each in item.items:
            parts = self._filled(each.text, variables).split(":")
            source, target = (parts[0], parts[1]) if len(parts) > 1 else ("", "")
            if each.table:
                source = self._filled(each.table.get("source", Item(1, "")).text, variables)
                target = self._filled(each.table.get("target", Item(1, "")).text, variables)
            if target and source.startswith(("/", ".", "~")):
                self._mounts.append((target, str(self._folder / Path(source).expanduser())))
            else:
                self._note(file, each.line, "volume", "not carried over: it is no folder of this machine")

    def _variable(self, file: str, line: int, name: str, value: str) -> None:
        if _ROOT.fullmatch(name) and value:
            self._root = self._root or value
        elif name == "EXTRA_ARGS" and value:
            self._options += from_command(words(value, self._folder / file, line), file, line)
        elif options := [
            o for own in _OWN_NAMES.get(name, (name,)) if (o := _option(self._folder / file, line, own, value))
        ]:
            self._options += options
        else:
            self._note(file, line, name, "not carried over: it sets nothing that Hostler has")

    def _filled(self, text: str, variables: Mapping[str, str]) -> str:
        """``text`` with compose's ``${NAME}``, ``${NAME:-default}`` and ``$$`` resolved from `.env` alone."""

        def value(match: re.Match[str]) -> str:
            name = match[1] or match[4]
            if name is None:
                return "$"
            self._taken.add(name)
            known = variables.get(name, "")
            if match[2] == "+":
                return match[3] if known else ""
            return known or (match[3] if match[2] == "-" else "")

        return _VARIABLE.sub(value, text)

    def _note(self, file: str, line: int, what: str, why: str) -> None:
        self._notes.append(Note(file=file, line=line, what=what, why=why))


def _serves(service: Item) -> bool:
    """Whether a service runs llama.cpp: its image, command or environment say so."""
    image = service.table.get("image", Item(1, "")).text
    names = {name for _, name, _ in _pairs(service.table.get("environment", Item(1, None)))}
    command = service.table.get("command", Item(1, None))
    said = " ".join((image, command.text, *(each.text for each in command.items))).lower()
    return "llama" in said or any(_OPTION.fullmatch(name) or _ROOT.fullmatch(name) for name in names)


def _option(path: Path, line: int, name: str, value: str) -> Option | None:
    """The option that an environment variable is; None for one that is no flag of llama.cpp."""
    if not value or name in _OTHERS or len(name) < 3:
        return None
    option = from_key(name, value, path, line)
    return option if option and (option.flag is not None or name.startswith("LLAMA_ARG_")) else None


def _pairs(item: Item) -> Iterator[tuple[int, str, str]]:
    """Line, name and value of an environment, which is a mapping or a list of ``NAME=value``."""
    for name, each in item.table.items():
        yield each.line, name, each.text
    for each in item.items:
        name, _, value = each.text.partition("=")
        yield each.line, name, value


def _text(file: Path) -> str | None:
    try:
        return file.read_text("utf-8-sig")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}:1: cannot be read: {error}", hint="Move it away to import without it.") from error
