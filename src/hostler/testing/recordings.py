"""What the engine's dry run said of published models, and the runs and layouts that it was asked about.

``tests/data/referee.json`` (the processor alone, the embedded build; ``tests/tools/referee.py``) and
``tests/data/referee_devices.json`` (several devices, a native build; ``tests/tools/referee_devices.py``). Sizes in MiB.
"""

from __future__ import annotations

import bisect
import itertools
from pathlib import Path

import msgspec

from hostler.config.settings import CacheType
from hostler.placement.layout import HOST, Layout, Run

#: The engine's name for the processor's memory.
ENGINE_HOST = "Host"


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One dry run on the processor alone; ``context`` is that of all slots."""

    model: str
    recipe: str
    context: int
    cache: CacheType
    ubatch: int
    slots: int
    weights: float
    kv: float
    recurrent: float
    compute: float
    output: float

    @property
    def run(self) -> Run:
        """What was run."""
        return run_of(self)


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """One device: ``model`` and ``context`` (caches and states) as whole MiB, cut off."""

    model: int
    context: int
    compute: float


class DeviceRow(msgspec.Struct, frozen=True, kw_only=True):
    """One dry run on several devices. ``splits``: in how many pieces the graph of a prompt, of a token is cut."""

    model: str
    recipe: str
    layout: str
    cards: int
    flags: str
    context: int
    ubatch: int
    slots: int
    cache: CacheType
    devices: dict[str, Held]
    splits: tuple[int, int]
    copies: int

    @property
    def run(self) -> Run:
        """What was run."""
        return run_of(self)

    def placed(self, layers: int) -> Layout:
        """Where ``flags`` put the ``layers`` of the model."""
        return layout_of(layers, self.flags.split())


class FitRow(msgspec.Struct, frozen=True, kw_only=True):
    """What ``llama-fit-params`` says of the processor alone; ``compute`` in whole MiB here."""

    model: str
    context: int
    ubatch: int
    slots: int
    cache: CacheType
    held: Held

    @property
    def run(self) -> Run:
        """What was asked about."""
        return run_of(self)


class Recorded(msgspec.Struct, frozen=True, kw_only=True):
    """All dry runs on the processor alone, with what ran them."""

    engine: str
    flags: str
    rows: tuple[Row, ...]


class RecordedDevices(msgspec.Struct, frozen=True, kw_only=True):
    """All dry runs on several devices, with what ran them.

    ``projector`` is what the server expects of the zoo's projector, ``fit_params`` what its sibling says.
    """

    engine: str
    flags: str
    projector: float
    rows: tuple[DeviceRow, ...]
    fit_params: tuple[FitRow, ...]


def read_recorded(folder: Path) -> Recorded:
    """The dry runs on the processor in ``folder`` (``tests/data``)."""
    return msgspec.json.decode((folder / "referee.json").read_bytes(), type=Recorded)


def read_recorded_devices(folder: Path) -> RecordedDevices:
    """The dry runs on several devices in ``folder`` (``tests/data``)."""
    return msgspec.json.decode((folder / "referee_devices.json").read_bytes(), type=RecordedDevices)


def run_of(row: Row | DeviceRow | FitRow) -> Run:
    """The run that the engine was asked about."""
    each, cache = row.context // row.slots, row.cache
    return Run(context=each, slots=row.slots, cache_k=cache, cache_v=cache, ubatch=row.ubatch, repacked=False)


def layout_of(layers: int, flags: list[str]) -> Layout:
    """Where llama.cpp puts things by ``-ngl`` (without it there are no cards), ``-ts`` and ``-ncmoe``.

    Source: llama.cpp, ``llama_model::load_tensors`` (``get_layer_buft_list``): the last layers go to the cards, the
    output counts as one more layer, and each lies where its share of them falls among the cumulated splits.
    """
    told = dict(zip(flags[::2], flags[1::2], strict=True))
    if "-ngl" not in told:
        alone = (HOST,) * layers
        return Layout(gpus=(), layers=alone, experts=alone, output=HOST)
    splits = [float(part) for part in told.get("-ts", "1").split(",")]
    bounds = [part / sum(splits) for part in itertools.accumulate(splits)]
    cards, on_cards = [f"RPC{number}" for number in range(len(splits))], min(int(told["-ngl"]), layers + 1)
    start, on_host = layers + 1 - on_cards, int(told.get("-ncmoe", "0"))
    places = [HOST] * start + [cards[bisect.bisect_right(bounds, index / on_cards)] for index in range(on_cards)]
    return Layout(
        gpus=tuple(cards),
        layers=tuple(places[:layers]),
        experts=tuple(HOST if index < on_host else place for index, place in enumerate(places[:layers])),
        output=places[layers],
    )
