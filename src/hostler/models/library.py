"""What models are on disk, and which one a name means."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from hostler.errors import ModelError
from hostler.models.assembly import Assembled, assemble
from hostler.models.facts import Model
from hostler.models.facts_cache import FactsCache
from hostler.models.header import read_header
from hostler.models.naming import part_name, unique_names
from hostler.models.sources import Finding, FoundFile, ScanProblem, cached, names_in, plain_folder

__all__ = ["FactsCache", "Library", "Scan", "ScanProblem"]


class Scan(msgspec.Struct, frozen=True):
    """The models found, each once, in order of precedence; and what kept others from being listed."""

    models: tuple[Model, ...]
    problems: tuple[ScanProblem, ...]


class Library:
    """Our models folder, the user's ``roots`` and (unless ``caches`` is off) the caches of other tools.

    Everything is read, nothing changed. All methods block on the disk: call them in a thread.
    """

    def __init__(self, models_dir: Path, roots: Sequence[Path], caches: bool, environ: Mapping[str, str]) -> None:
        self._models_dir = models_dir
        self._roots = tuple(roots)
        self._caches = caches
        self._environ = dict(environ)

    def scan(self) -> Scan:
        """List every model; opens only the first four bytes of each file. Never raises for what it finds.

        The same file reached twice (links, overlapping folders) is one model, under the first origin:
        library, roots, Hugging Face, llama.cpp, Ollama, LM Studio.
        """
        models: list[Assembled] = []
        problems: list[ScanProblem] = []
        seen: set[tuple[int, int]] = set()
        for item in assemble(self._findings()):
            if isinstance(item, ScanProblem):
                problems.append(item)
            elif (unsaid := _unsaid(item)) is not None:
                problems.append(unsaid)
            elif item.identity not in seen:
                seen.add(item.identity)
                models.append(item)
        names = unique_names([(item.label, item.qualifiers) for item in models])
        found = tuple(item.model(name) for item, name in zip(models, names, strict=True))
        return Scan(found, tuple(dict.fromkeys(problems)))

    def _findings(self) -> Iterator[Finding]:
        yield from plain_folder(self._models_dir, "library")
        for root in self._roots:
            if not os.path.isdir(root):
                yield ScanProblem(root, "is named in `[library] roots` but is not a folder")
                continue
            yield from plain_folder(root, "root")
        if self._caches:
            yield from cached(self._environ)

    def find(self, ref: str, scan: Scan) -> Model:
        """The model that ``ref`` means; ModelError with the nearest names when there is none.

        1. A path (absolute, ``~/...``, ``./...``): that file, wherever it is.
        2. The name of a model in ``scan``.
        3. A file name, with or without ``.gguf``, as the file is called where it lies.
        4. A path relative to our models folder, a root, or the current folder.
        """
        if ref.startswith(("/", "~", "./", "../")):  # 1
            return self._at(self._expanded(ref), scan)
        named = [model for model in scan.models if model.name == ref]  # 2
        named += [model for model in scan.models if ref in _file_names(model)]  # 3
        if named:
            return named[0]
        for base in (self._models_dir, *self._roots, Path()):  # 4
            if ref and os.path.isfile(base / ref):
                return self._at((base / ref).absolute(), scan)
        raise _unknown(ref, scan)

    def _expanded(self, ref: str) -> Path:
        home = self._environ.get("HOME")
        if home and (ref == "~" or ref.startswith("~/")):
            return Path(home) / ref[2:]
        return Path(ref).expanduser() if ref.startswith("~") else Path(ref).absolute()

    def _at(self, path: Path, scan: Scan) -> Model:
        """The model that ``path`` is (a part of); files outside the scan get the origin ``path``."""
        for model in scan.models:
            if path in model.files:
                return model
        if os.path.isdir(path):
            inside = ", ".join(sorted(item.name for item in path.glob("*.gguf"))[:5])
            raise ModelError(f"{path} is a folder.", hint=f"Name a file in it: {inside or 'it holds no .gguf'}.")
        if not os.path.isfile(path):
            raise ModelError(f"{path} does not exist.", hint="Correct `model` in the profile, or put the file there.")
        return _outside(path)


def _unsaid(item: Assembled) -> ScanProblem | None:
    """Settings, listings and logs are UTF-8: a file that none of them can name is no model of ours."""
    for path in (*item.files, *([item.projector] if item.projector else [])):
        shown = str(path).encode("utf-8", "backslashreplace").decode()
        if shown != str(path):
            return ScanProblem(Path(shown), "is not named in UTF-8: rename it")
    return None


def _file_names(model: Model) -> set[str]:
    names = {path.name for path in model.files}
    return names | {model.path.stem, part_name(model.path.name).base}


def _outside(path: Path) -> Model:
    """A model by its path alone, with the parts and the projector that lie beside it."""
    base = part_name(path.name).base
    problem = None
    for item in assemble(_siblings(path)):
        if isinstance(item, ScanProblem):
            problem = item
        elif path in item.files:
            return item.model(unique_names([(base, ())])[0])
    read_header(path)  # says best what is wrong with it
    raise ModelError(f"{problem.path} {problem.reason}." if problem else f"{path} is a projector, not a model.")


def _siblings(path: Path) -> Iterator[FoundFile]:
    folder = path.parent
    names = {folder / name for name in names_in(folder) if name.lower().endswith(".gguf")} | {path}
    parts = part_name(path.name)
    for item in sorted(names):
        other = part_name(item.name)
        if item == path or (other.base, other.total) == (parts.base, parts.total) or "mmproj" in item.name.lower():
            yield FoundFile(item, item.name, "path", str(folder), (), alone=True)


def _unknown(ref: str, scan: Scan) -> ModelError:
    lower = {model.name.lower(): model.name for model in scan.models}
    near = [lower[name] for name in difflib.get_close_matches(ref.lower(), list(lower), n=3, cutoff=0.5)]
    near = near or [name for key, name in lower.items() if _begins_like(ref.lower(), key)][:3]
    hint = f"Nearest: {', '.join(near)}." if near else "Put the file into a library root, or name its path."
    return ModelError(f"No model is called {ref!r}.", hint=hint)


def _begins_like(ref: str, name: str) -> bool:
    """Whether ``ref`` is a part of ``name``, or nearly its beginning: people write long names short."""
    short = ref.removesuffix(".gguf").rpartition("/")[2]
    if len(short) < 3:
        return bool(ref) and ref in name
    return short in name or difflib.SequenceMatcher(None, short, name[: len(short)]).ratio() >= 0.75
