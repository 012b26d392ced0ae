"""Measuring in a process of its own."""

from __future__ import annotations

from pathlib import Path

from hostler.hardware.bandwidth import measure_apart


def test_a_child_measures_memory_and_disk(tmp_path: Path) -> None:
    file = tmp_path / "model.gguf"
    file.write_bytes(bytes(2**20))
    measured = measure_apart([file])
    assert measured is not None
    assert measured.memory is not None
    assert measured.memory.value > 1e8
    assert measured.disk is not None
