"""Published models by their headers: what is known of the real files must come out."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from hostler.errors import ModelError
from hostler.models.gguf import read_facts, read_header, read_shape
from hostler.models.shape import ModelShape
from hostler.testing.published import Published
from hostler.testing.zoo import (
    GEMMA_3_12B,
    GLM_4_7_FLASH,
    GPT_OSS_120B,
    LLAMA_3_1_8B,
    PUBLISHED,
    QWEN2_5_VL_7B,
    QWEN3_5_27B,
    QWEN3_5_35B,
    QWEN3_NEXT_80B,
    write_all,
    write_projector,
)

MIB, GIB = 2**20, 2**30


def shape_in(folder: Path, model: Published, recipe: str = "") -> ModelShape:
    return read_shape([model.write(folder, recipe or model.recipes[0])])


def cells(found: ModelShape, tokens: int, window: int = 0) -> int:
    """Bytes of an f16 cache for one sequence."""
    held = 0
    for layer in found.layers:
        kept = window if layer.memory == "window" else tokens
        held += 2 * kept * (layer.key_width + layer.value_width)
    return held


@pytest.mark.parametrize(
    ("model", "recipe", "gib", "tensors"),
    [
        (GPT_OSS_120B, "MXFP4", 59.02, 687),
        (GLM_4_7_FLASH, "Q4_K_M", 16.88, 844),
        (LLAMA_3_1_8B, "Q4_K_M", 4.58, 292),
        (GEMMA_3_12B, "Q4_K_M", 6.79, 626),
        (QWEN2_5_VL_7B, "Q4_K_M", 4.36, 339),
        (QWEN3_5_35B, "Q6_K", 26.55, 733),
        (QWEN3_NEXT_80B, "Q6_K", 61.02, 843),
        (QWEN3_5_27B, "Q6_K", 20.56, 851),
    ],
)
def test_sizes_and_tensor_counts(tmp_path: Path, model: Published, recipe: str, gib: float, tensors: int) -> None:
    """Those that the engine prints for the real gpt-oss, Llama, Gemma and Qwen-VL files; of the others by formula."""
    path = model.write(tmp_path, recipe)
    found = read_shape([path])
    assert round(found.weights / GIB, 2) == gib
    assert len(read_header(path).tensors) == tensors
    assert found.weights == read_facts([path]).tensor_bytes
    assert found.guesses == ()


def test_tensor_types_of_the_real_gpt_oss(tmp_path: Path) -> None:
    """The engine's list for the published file: 433 f32, 146 q8_0, 108 mxfp4."""
    types = Counter(tensor.type for tensor in read_header(GPT_OSS_120B.write(tmp_path, "MXFP4")).tensors)
    assert types == {"F32": 433, "Q8_0": 146, "MXFP4": 108}


def test_parameters_and_active_parameters(tmp_path: Path) -> None:
    found = shape_in(tmp_path, GPT_OSS_120B)
    assert round(found.parameters / 1e9, 2) == 116.83
    assert round(found.active_parameters / 1e9, 2) == 5.13
    assert round(shape_in(tmp_path, QWEN3_NEXT_80B).parameters / 1e9, 1) == 79.7


def test_caches_known_from_real_runs(tmp_path: Path) -> None:
    assert cells(shape_in(tmp_path, LLAMA_3_1_8B), 32768) == 4096 * MIB
    assert cells(shape_in(tmp_path, GEMMA_3_12B), 8192, window=1024 + 512) == 992 * MIB
    # Qwen3.5-35B-A3B at 262,144 tokens in q8_0 (34 bytes for 32 elements): 2720 MiB over its ten attention layers.
    assert cells(shape_in(tmp_path, QWEN3_5_35B), 262144) * 34 // 64 == 2720 * MIB


def test_how_layers_remember(tmp_path: Path) -> None:
    kinds = {model.name: Counter(layer.memory for layer in shape_in(tmp_path, model).layers) for model in PUBLISHED}
    assert kinds["GLM-4.7-Flash"] == {"mla": 47}
    assert kinds["gpt-oss-120b"] == {"window": 18, "full": 18}
    assert kinds["Qwen3-Next-80B-A3B"] == {"recurrent": 36, "full": 12}
    assert kinds["Qwen3.5-35B-A3B"] == {"recurrent": 30, "full": 10}
    assert kinds["gemma-3-12b"] == {"window": 40, "full": 8}
    assert kinds["Llama-3.1-8B"] == {"full": 32}


def test_the_recurrent_state_of_qwen3_next(tmp_path: Path) -> None:
    """36 layers of (4 - 1) x 8192 elements for the convolution and 128 x 4096 for the state."""
    state = sum(layer.state_bytes for layer in shape_in(tmp_path, QWEN3_NEXT_80B).layers)
    assert state == 36 * 4 * (3 * 8192 + 128 * 4096)


def test_experts(tmp_path: Path) -> None:
    counts = {model.name: shape_in(tmp_path, model) for model in PUBLISHED}
    told = {name: (found.experts, found.active, found.shared) for name, found in counts.items() if found.experts}
    assert told == {
        "GLM-4.7-Flash": (64, 4, 1),
        "gpt-oss-120b": (128, 4, 0),
        "Qwen3-Next-80B-A3B": (512, 10, 1),
        "Qwen3.5-35B-A3B": (256, 8, 1),
    }


@pytest.mark.parametrize(
    ("model", "kv_mib", "state_mib"),
    [
        (LLAMA_3_1_8B, 1024.0, 0.0),
        (GLM_4_7_FLASH, 423.0, 0.0),
        (GPT_OSS_120B, 288.0 + 27.0, 0.0),
        (QWEN3_NEXT_80B, 192.0, 75.38),
        (QWEN3_5_27B, 512.0, 149.62),
        (GEMMA_3_12B, 512.0 + 480.0, 0.0),
    ],
)
def test_what_the_engine_prints_for_these_files(
    tmp_path: Path, model: Published, kv_mib: float, state_mib: float
) -> None:
    """Recorded: xllamacpp 2026.10.11549 with no_alloc, 8192 tokens, f16, one slot, -ub 512 (`llama_kv_cache: size`,
    `llama_memory_recurrent: size`). A windowed layer has window + ubatch cells, up to the next 256."""
    found = shape_in(tmp_path, model)
    assert cells(found, 8192, -(-(found.window + 512) // 256) * 256) / MIB == kv_mib
    assert abs(sum(layer.state_bytes for layer in found.layers) / MIB - state_mib) < 0.006


def test_leading_dense_layers_and_shared_experts(tmp_path: Path) -> None:
    first, second = shape_in(tmp_path, GLM_4_7_FLASH).layers[:2]
    assert first.experts == first.shared_experts == 0
    assert second.experts > 40 * second.shared_experts > 0
    assert first.feed_forward > second.feed_forward > 0


def test_the_files_take_no_room(tmp_path: Path) -> None:
    paths = write_all(tmp_path)
    assert sum(path.stat().st_size for path in paths) > 300 * GIB
    assert sum(path.stat().st_blocks * 512 for path in paths) < 2 * MIB


def test_a_projector_is_read_but_is_no_model(tmp_path: Path) -> None:
    path = write_projector(tmp_path)
    assert round(sum(tensor.size for tensor in read_header(path).tensors) / GIB, 2) == 1.26
    with pytest.raises(ModelError, match="projector"):
        read_shape([path])
