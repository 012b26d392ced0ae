"""Remembers what headers say, so that each file is read once until it changes."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from hostler.errors import ModelError
from hostler.models.facts import GgufFacts, Model
from hostler.models.gguf import read_model
from hostler.models.shape import ModelShape

_Stamp = tuple[tuple[int, int], ...]


class _Known(NamedTuple):
    stamp: _Stamp
    facts: GgufFacts
    shape: ModelShape


class FactsCache:
    """Facts by the paths, sizes and modification times of a model's files; may be shared by threads."""

    def __init__(self) -> None:
        self._known: dict[tuple[Path, ...], _Known] = {}

    def facts(self, model: Model) -> GgufFacts:
        """The model's facts; reads headers only when a file changed. Blocking; raises ModelError."""
        return self._current(model).facts

    def shape(self, model: Model) -> ModelShape:
        """What placement needs of the model, kept with its facts; blocks and raises as :meth:`facts`."""
        return self._current(model).shape

    def _current(self, model: Model) -> _Known:
        stamp = tuple(_stamp(path) for path in model.files)
        known = self._known.get(model.files)
        if known is not None and known.stamp == stamp:
            return known
        self._known.pop(model.files, None)
        known = _Known(stamp, *read_model(model.files))
        self._known[model.files] = known
        return known

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
