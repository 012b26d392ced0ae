"""Fixtures for what reads models."""

from __future__ import annotations

from pathlib import Path

import pytest
from gguf_writer import LLAMA, TENSORS, Save, gguf


@pytest.fixture
def save(tmp_path: Path) -> Save:
    """Writes a file below the test's folder, by default a small whole model; returns its path."""

    def write(name: str = "tiny.gguf", content: bytes | None = None) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gguf(LLAMA, TENSORS) if content is None else content)
        return path

    return write
