"""Remembers what headers say, so that each file is read once until it changes."""

from __future__ import annotations

from pathlib import Path

from hostler.errors import ModelError
from hostler.models.facts import GgufFacts, Model
from hostler.models.gguf import read_facts

_Stamp = tuple[tuple[int, int], ...]


class FactsCache:
    """Facts by the paths, sizes and modification times of a model's files; may be shared by threads."""

    def __init__(self) -> None:
        self._known: dict[tuple[Path, ...], tuple[_Stamp, GgufFacts]] = {}

    def facts(self, model: Model) -> GgufFacts:
        """The model's facts; reads headers only when a file changed. Blocking; raises ModelError."""
        stamp = tuple(_stamp(path) for path in model.files)
        known = self._known.get(model.files)
        if known is not None and known[0] == stamp:
            return known[1]
        self._known.pop(model.files, None)
        facts = read_facts(model.files)
        self._known[model.files] = (stamp, facts)
        return facts

    def keep_only(self, models: tuple[Model, ...]) -> None:
        """Forget all others."""
        wanted = {model.files for model in models}
        for files in [files for files in list(self._known) if files not in wanted]:
            self._known.pop(files, None)


def _stamp(path: Path) -> tuple[int, int]:
    try:
        stat = path.stat()
    except OSError as error:
        reason = "does not exist" if isinstance(error, FileNotFoundError) else f"cannot be read: {error.strerror}"
        raise ModelError(f"{path} {reason}.") from None
    return stat.st_size, stat.st_mtime_ns
