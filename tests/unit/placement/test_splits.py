"""Predicted graph splits against those that llama.cpp logs, in dry runs with none, one and two cards."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from msgspec.structs import replace

from hostler.models.shape import ModelShape
from hostler.placement.speed import splits_of
from hostler.testing.recordings import read_recorded_devices

DATA = Path(__file__).parents[2] / "data"


def test_every_recorded_graph_is_cut_into_as_many_pieces(shape_of: Callable[..., ModelShape]) -> None:
    rows = read_recorded_devices(DATA).rows
    assert len(rows) > 100
    for row in rows:
        layers = shape_of(row.model, row.recipe).layers
        layout = row.placed(len(layers))
        # A layer without experts has none elsewhere, whatever the flags say of it.
        experts = tuple(
            away if layer.experts else home
            for layer, home, away in zip(layers, layout.layers, layout.experts, strict=True)
        )
        assert row.splits == (splits_of(replace(layout, experts=experts)),) * 2, f"{row.model}: {row.layout}"
