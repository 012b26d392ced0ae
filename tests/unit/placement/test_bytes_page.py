"""The page and the data of predicted against reported bytes."""

from __future__ import annotations

import json

from hostler.bench.bytes_page import Compared, Comparison, section, written
from hostler.bench.sections import replaced


def comparison(part: str, device: str = "host", **classes: tuple[float, float]) -> Comparison:
    return Comparison(
        model="toy", part=part, layout="one card", sizes="-c 1", device=device, classes={**DEFAULT, **classes}
    )


DEFAULT = {
    "weights": (10.004, 10.0),
    "kv": (4.0, 4.0),
    "recurrent": (0.0, 0.0),
    "output": (1.0, 1.0),
    "context": (4.5, 4.0),
    "compute": (110.0, 100.0),
}
COMPARED = Compared(
    at=0.0,
    command="make it",
    engines={"processor": "wheel 1", "devices": "native 2", "live": "wheel 1"},
    flags={"processor": "dry", "devices": "-fa on"},
    projector=(2.0, 1.0),
    comparisons=(
        comparison("recorded"),
        comparison("recorded", compute=(99.0, 100.0)),
        comparison("live"),
        comparison("loaded", compute=(99.9999, 100.0)),
        comparison("devices", "RPC1"),
        comparison("llama-fit-params", compute=(100.0, 250.0)),
    ),
)


def test_errors_are_ranges_by_model_and_by_device() -> None:
    page = section(COMPARED)
    assert "| toy | +0.00 | +0.00 | none | +0.00 | -1.0 to +10.0 |" in page
    assert "| toy | +0.00 | +0.00 | none | +0.00 | +0.0 |" in page
    assert "| one card | second card | +0.00 | +0.50 | +10.0 |" in page
    assert "reserves: 2.5 to 2.5 (1 runs)" in page
    assert all(said in page for said in ("`make it`", "wheel 1", "native 2", "1970-01-01"))


def test_the_section_replaces_the_one_before() -> None:
    page = "# A\n<!-- bytes -->\nold\n<!-- /bytes -->\nB\n"
    once = replaced(page, "bytes", section(COMPARED))
    assert "old" not in once
    assert replaced(once, "bytes", section(COMPARED)) == once


def test_data_is_one_line_per_comparison() -> None:
    text = written(COMPARED)
    assert len(text.splitlines()) == 2 + len(COMPARED.comparisons)
    assert json.loads(text)["comparisons"][0]["classes"]["compute"] == [110.0, 100.0]
