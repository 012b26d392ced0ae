"""Where models lie: our library, the user's folders and the caches of other tools.

All of these are only ever read. What cannot be read becomes a :class:`ScanProblem`, not an exception. Layouts:

- Hugging Face hub: ``models--ORG--REPO/snapshots/REVISION/**.gguf``, links into ``blobs``; ``refs/main`` names
  the revision.
- llama.cpp: ``ORG_REPO_FILE.gguf`` in one flat folder, beside ``manifest=ORG=REPO=TAG.json``.
- Ollama: ``manifests/HOST/NAMESPACE/MODEL/TAG`` lists layers, the weights are ``blobs/sha256-...``.
- LM Studio: ``PUBLISHER/REPO/*.gguf``; ``~/.lmstudio-home-pointer`` names another home.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec

from hostler.models.facts import Origin

MAX_DEPTH = 8
MAX_ENTRIES = 100_000
MAX_MANIFEST = 2**20
_OLLAMA_REGISTRY = "registry.ollama.ai"


class ScanProblem(msgspec.Struct, frozen=True):
    """Something in a folder that keeps a model from being listed."""

    path: Path
    reason: str


class FoundFile(NamedTuple):
    """A GGUF file. ``label`` is what its name is made of; files of one ``group`` belong together.

    ``qualifiers`` tell it from others of the same name. ``alone`` marks a group that may hold unrelated
    models (a flat folder).
    """

    path: Path
    label: str
    origin: Origin
    group: str
    qualifiers: tuple[str, ...]
    alone: bool = False
    projector: Path | None = None


Finding = FoundFile | ScanProblem


def walk(base: Path) -> Iterator[Path | ScanProblem]:
    """All files under ``base`` by path, links followed, loops and depth bounded."""
    seen: set[tuple[int, int]] = set()
    left = MAX_ENTRIES
    stack = [(base, 0)]
    while stack:
        folder, depth = stack.pop()
        try:
            stat = folder.stat()
            if (stat.st_dev, stat.st_ino) in seen:
                continue
            seen.add((stat.st_dev, stat.st_ino))
            with os.scandir(folder) as listing:
                entries = sorted(itertools.islice(listing, left + 1), key=lambda entry: entry.name)
        except OSError as error:
            yield ScanProblem(folder, f"cannot be listed: {error.strerror or error}")
            continue
        left -= len(entries)
        if left < 0:
            yield ScanProblem(base, f"holds more than {MAX_ENTRIES} entries; not all were looked at")
            return
        # Hidden ones are other programs' own, downloads in progress among them.
        kinds = [(Path(entry.path), _is_folder(entry)) for entry in entries if not entry.name.startswith(".")]
        yield from (path for path, is_folder in kinds if not is_folder)
        folders = [path for path, is_folder in kinds if is_folder]
        if depth < MAX_DEPTH:
            stack.extend((path, depth + 1) for path in reversed(folders))


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def plain_folder(base: Path, origin: Origin) -> Iterator[Finding]:
    """Every ``.gguf`` under ``base``; a missing folder holds nothing."""
    if not os.path.lexists(base):
        return
    for item in walk(base):
        if isinstance(item, ScanProblem):
            yield item
        elif item.name.lower().endswith(".gguf"):
            inside = item.parent.relative_to(base).parts
            yield FoundFile(item, item.name, origin, str(item.parent), (*reversed(inside), origin), alone=not inside)


def hugging_face(hub: Path) -> Iterator[Finding]:
    """The current revision of every repository in a Hugging Face hub cache."""
    for repository in _folders(hub):
        parts = repository.name.split("--")
        if parts[0] != "models" or len(parts) < 2:
            continue
        revision = _current_revision(repository)
        if revision is None:
            continue
        for item in walk(revision):
            if isinstance(item, ScanProblem):
                yield item
            elif item.name.lower().endswith(".gguf"):
                yield FoundFile(item, item.name, "huggingface", str(item.parent), (*parts[:0:-1], "huggingface"))


def _current_revision(repository: Path) -> Path | None:
    """The snapshot that refs/main names, else the one changed last."""
    snapshots = repository / "snapshots"
    named = snapshots / (_small_text(repository / "refs" / "main") or "-").strip()
    if named.parent == snapshots and os.path.isdir(named):
        return named
    return max(_folders(snapshots), key=_age, default=None)


def _age(path: Path) -> tuple[int, str]:
    try:
        return path.stat().st_mtime_ns, path.name
    except OSError:
        return 0, path.name


def llama_cpp(cache: Path) -> Iterator[Finding]:
    """The flat cache of llama.cpp; manifests tell which prefix is publisher and repository."""
    if not os.path.isdir(cache):
        return
    prefixes = sorted(_manifest_prefixes(cache), key=len, reverse=True)
    for item in plain_folder(cache, "llamacpp"):
        if isinstance(item, ScanProblem):
            yield item
            continue
        name = item.path.name
        prefix = next((prefix for prefix in prefixes if name.startswith(prefix) and name != prefix), "")
        group = f"{item.group}/{prefix}" if prefix else item.group
        publisher = (prefix.rstrip("_"),) if prefix else ()
        yield item._replace(
            label=name[len(prefix) :], group=group, qualifiers=(*publisher, "llamacpp"), alone=item.alone and not prefix
        )


def _manifest_prefixes(cache: Path) -> set[str]:
    prefixes = set()
    for name in names_in(cache):
        parts = name.split("=")
        if len(parts) == 4 and parts[0] == "manifest" and name.endswith(".json"):
            prefixes.add(f"{parts[1]}_{parts[2]}_")
    return prefixes


class _Layer(msgspec.Struct):
    media: str = msgspec.field(name="mediaType", default="")
    digest: str = ""


class _Manifest(msgspec.Struct):
    layers: list[_Layer] = []


def ollama(models: Path) -> Iterator[Finding]:
    """Every tag in an Ollama store whose weights are GGUF; names as `ollama run` takes them."""
    manifests = models / "manifests"
    if not os.path.isdir(manifests):
        return
    for item in walk(manifests):
        if isinstance(item, ScanProblem):
            yield item
            continue
        parts = item.relative_to(manifests).parts
        if len(parts) >= 3 and not item.name.startswith("."):
            yield from _ollama_tag(models, item, parts)


def _ollama_tag(models: Path, path: Path, parts: tuple[str, ...]) -> Iterator[Finding]:
    try:
        manifest = msgspec.json.decode(_small_text(path) or "", type=_Manifest)
    except (msgspec.DecodeError, UnicodeError):
        yield ScanProblem(path, "is not a readable Ollama manifest")
        return
    blobs = {layer.media.rpartition(".")[2]: _blob(models, layer.digest) for layer in reversed(manifest.layers)}
    weights = blobs.get("model")
    if weights is None:
        return
    name = f"{'/'.join(_ollama_name(parts[:-1]))}:{parts[-1]}"
    yield FoundFile(weights, name, "ollama", str(path), ("ollama",), projector=blobs.get("projector"))


def _ollama_name(parts: tuple[str, ...]) -> tuple[str, ...]:
    """The name without its tag. Host and the namespace ``library`` are left out where Ollama leaves them out."""
    if parts[0] != _OLLAMA_REGISTRY:
        return parts
    return parts[2:] if parts[1] == "library" and len(parts) > 2 else parts[1:]


def _blob(models: Path, digest: str) -> Path | None:
    algorithm, _, value = digest.partition(":")
    return models / "blobs" / f"sha256-{value}" if algorithm == "sha256" and value.isalnum() else None


def cache_folders(environ: Mapping[str, str]) -> Iterator[tuple[Origin, Path]]:
    """Where other tools keep their models, by their own environment variables and defaults."""
    home = Path(environ.get("HOME") or os.path.expanduser("~"))
    cache = Path(environ.get("XDG_CACHE_HOME") or home / ".cache")
    hf_home = Path(environ.get("HF_HOME") or cache / "huggingface")
    yield "huggingface", _expand(environ.get("HF_HUB_CACHE"), home) or hf_home / "hub"
    if named := _expand(environ.get("LLAMA_CACHE"), home):
        yield "llamacpp", named
    else:
        yield "llamacpp", cache / "llama.cpp"
        yield "llamacpp", home / "Library" / "Caches" / "llama.cpp"
    if named := _expand(environ.get("OLLAMA_MODELS"), home):
        yield "ollama", named
    else:
        yield "ollama", home / ".ollama" / "models"
        yield "ollama", Path("/usr/share/ollama/.ollama/models")
    pointer = _small_text(home / ".lmstudio-home-pointer")
    if pointer and pointer.strip():
        yield "lmstudio", Path(pointer.strip()) / "models"
    yield "lmstudio", home / ".lmstudio" / "models"
    yield "lmstudio", cache / "lm-studio" / "models"


def cached(environ: Mapping[str, str]) -> Iterator[Finding]:
    """Everything in the caches of other tools."""
    for origin, folder in cache_folders(environ):
        if origin == "huggingface":
            yield from hugging_face(folder)
        elif origin == "llamacpp":
            yield from llama_cpp(folder)
        elif origin == "ollama":
            yield from ollama(folder)
        elif os.path.isdir(folder):
            yield from plain_folder(folder, "lmstudio")


def _expand(text: str | None, home: Path) -> Path | None:
    if not text:
        return None
    return home / text[2:] if text.startswith("~/") else Path(text)


def names_in(folder: Path) -> list[str]:
    """What lies in ``folder``, sorted; nothing when it cannot be listed."""
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []


def _folders(folder: Path) -> list[Path]:
    return [path for name in names_in(folder) if os.path.isdir(path := folder / name)]


def _small_text(path: Path) -> str | None:
    """A small text file; None when it is absent, unreadable, not text or too large."""
    try:
        with path.open("rb") as file:
            return file.read(MAX_MANIFEST).decode("utf-8")
    except (OSError, UnicodeDecodeError):
        return None
