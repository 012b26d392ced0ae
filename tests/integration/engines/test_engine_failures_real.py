"""What the real engine says when it fails, and the class that comes of it."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from hostler.errors import EngineError

pytestmark = pytest.mark.anyio


@pytest.fixture
def model_bytes(smollm2: Path) -> bytes:
    return smollm2.read_bytes()


def _cut(model: bytes) -> bytes:
    return model[: len(model) // 2]


def _not_gguf(model: bytes) -> bytes:
    return b"<html>not found</html>" + model[22:64]


def _other_architecture(model: bytes) -> bytes:
    said = struct.pack("<Q", 5) + b"llama"
    assert said in model
    return model.replace(said, struct.pack("<Q", 5) + b"newer", 1)


def _other_tensor(model: bytes) -> bytes:
    assert b"blk.3.attn_norm.weight" in model
    return model.replace(b"blk.3.attn_norm.weight", b"blk.3.attn_gone.weight", 1)


@pytest.mark.parametrize(
    ("broken", "cause"),
    [
        (_cut, "model_corrupt"),
        (_not_gguf, "model_corrupt"),
        (_other_architecture, "unsupported_architecture"),
        (_other_tensor, "missing_tensor"),
    ],
)
async def test_a_broken_model_has_its_class(
    runner, spec, run, model_bytes: bytes, tmp_path: Path, broken, cause: str
) -> None:
    path = tmp_path / "broken.gguf"
    path.write_bytes(broken(model_bytes))
    async with run(runner(), spec(path)) as engine:
        assert isinstance(engine.failure, EngineError)
        assert engine.failure.cause == cause, (engine.failure.message, engine.failure.evidence)
        assert engine.failure.evidence
