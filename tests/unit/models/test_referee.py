"""What headers tell, against what the engine said it holds (`tests/data/referee.json`; `tests/tools/referee.py`)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TypedDict

import pytest

from hostler.models.gguf import read_shape
from hostler.models.shape import Layer, ModelShape
from hostler.testing.published import Published
from hostler.testing.zoo import PUBLISHED

RECORDS = Path(__file__).parents[2] / "data" / "referee.json"
MIB = 2**20
#: Bytes and elements of a block.
BLOCKS = {"f16": (2, 1), "q8_0": (34, 32), "q4_0": (18, 32)}


class Row(TypedDict):
    """The engine's figures in MiB for one model and its flags."""

    model: str
    recipe: str
    context: int
    cache: str
    ubatch: int
    slots: int
    weights: float
    kv: float
    recurrent: float


def rows(model: str) -> list[Row]:
    found: list[Row] = [row for row in json.loads(RECORDS.read_text())["rows"] if row["model"] == model]
    assert len(found) == 36
    return found


def cells(row: Row, layer: Layer, window: int) -> int:
    """Tokens that a layer keeps, over all slots: of the context or, windowed, of window and micro-batch."""
    each = row["context"] // row["slots"]
    if layer.memory == "window":
        each = min(each, -(-(window + row["ubatch"]) // 256) * 256)
    return each * row["slots"]


def caches(row: Row, shape: ModelShape) -> float:
    size, count = BLOCKS[row["cache"]]
    widths = sum(cells(row, layer, shape.window) * (layer.key_width + layer.value_width) for layer in shape.layers)
    return widths * size / count / MIB


@pytest.mark.parametrize("model", PUBLISHED, ids=lambda model: model.name)
def test_headers_tell_what_the_engine_holds(tmp_path: Path, model: Published) -> None:
    """Weights to the MiB that the engine prints, caches and states to the hundredths it prints."""
    shape = read_shape([model.write(tmp_path, model.recipes[0])])
    state = sum(layer.state_bytes for layer in shape.layers) / MIB
    for row in rows(model.name):
        assert abs(shape.weights / MIB - row["weights"]) <= 1, row
        assert caches(row, shape) == pytest.approx(row["kv"], abs=0.011), row
        assert state * row["slots"] == pytest.approx(row["recurrent"], abs=0.006), row
