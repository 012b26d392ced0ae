"""Which way to load files is quickest: decided from measured loads, remembered by disk, build and size."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from hostler.config.settings import LoadMode
from hostler.fleet.learning.remembered import Remembered
from hostler.hardware.disks import disk_of
from hostler.models.facts import Model
from hostler.wire.loading import ChosenMode, ModeFigures

KEPT: Final = 200
GIB: Final = 2**30
#: Upper bounds of the size classes.
CLASSES_GIB: Final = (1, 4, 16, 64)

#: A mapped file shares its pages and gives them back: another mode has to be this much quicker, cold and warm together,
WORTH: Final = 0.85
#: may not make the usual, warm load slower than by this,
NO_SLOWER: Final = 1.05
#: nor hold more than by this: tensors that are repacked for a processor leave less of a mapped file behind.
NO_LARGER: Final = 1.15
#: A model that takes more of the room on the host than this part does not stay in the page cache, or would crowd others
#: with memory that nobody can take back.
ROOMY: Final = 0.5

HOST: Final = "host"


def size_class(size: int) -> str:
    """The class of a model of ``size`` bytes, in words."""
    above = [bound for bound in CLASSES_GIB if size < bound * GIB]
    return f"under {above[0]} GiB" if above else f"{CLASSES_GIB[-1]} GiB and more"


def quickest(figures: Sequence[ModeFigures]) -> tuple[LoadMode, str]:
    """The mode to load by, and why: mapped unless another one is worth it. Pure; ``mmap`` is among ``figures``."""
    mapped = next(each for each in figures if each.mode == "mmap")
    fair = [each for each in figures if each is mapped or _no_worse(each, mapped)]
    best = min(fair, key=_both)
    if best is mapped or _both(best) > WORTH * _both(mapped):
        return "mmap", "no other mode is worth memory that cannot be taken back"
    parts = f"{best.cold.load_s:.2f} s cold and {best.warm.load_s:.2f} s warm"
    return best.mode, f"{parts}, {mapped.cold.load_s:.2f} and {mapped.warm.load_s:.2f} s mapped"


def _both(figures: ModeFigures) -> float:
    return figures.cold.load_s + figures.warm.load_s


def _no_worse(other: ModeFigures, mapped: ModeFigures) -> bool:
    held, before = other.warm.held.get(HOST, 0), mapped.warm.held.get(HOST, 0)
    return other.warm.load_s <= NO_SLOWER * mapped.warm.load_s and held <= NO_LARGER * before


class LoadModes:
    """What was chosen, and what a comparison asks for meanwhile. Read from threads, changed on the event loop's."""

    def __init__(self, file: Path) -> None:
        self._chosen: Remembered[ChosenMode] = Remembered(file, ChosenMode, KEPT)
        self._tried: dict[str, LoadMode] = {}

    def of(self, profile: str, model: Model, build: str, room: int) -> tuple[LoadMode, str] | None:
        """The mode for a load now and why, None for the usual one; ``room`` is what there is on the host, in bytes."""
        if (tried := self._tried.get(profile)) is not None:
            return tried, "to compare load modes"
        known = self._chosen.get(key_of(model, build))
        if known is None or known.mode == "mmap" or model.size > ROOMY * room:
            return None
        return known.mode, f"measured: {known.why}"

    def try_out(self, profile: str, mode: LoadMode | None) -> None:
        """Loads of ``profile`` are by ``mode`` from now on, with None as they would be."""
        if mode is None:
            self._tried.pop(profile, None)
        else:
            self._tried[profile] = mode

    def choose(self, model: Model, chosen: ChosenMode) -> None:
        """Use it from now on."""
        self._chosen.put(key_of(model, chosen.build), chosen)

    def chosen(self) -> tuple[ChosenMode, ...]:
        """All that was chosen, oldest first."""
        found = (self._chosen.get(name) for name in self._chosen.names())
        return tuple(each for each in found if each is not None)

    def save(self) -> None:
        """Write what was chosen. Blocking; raises OSError."""
        self._chosen.save()


def key_of(model: Model, build: str) -> str:
    """What a choice holds for."""
    return msgspec.json.encode([disk_of(model.path), build, size_class(model.size)]).decode()
