"""Safetensors folders: the facts of a GGUF file from other words, and every kind of damage."""

from __future__ import annotations

import contextlib
import json
import struct
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hostler.errors import ModelError
from hostler.models.hfnames import gguf_name
from hostler.models.safetensors import parse_shard, read_folder

LLAMA = {
    "model_type": "llama",
    "num_hidden_layers": 2,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 1024,
    "vocab_size": 96,
    "head_dim": None,
}
Tensors = Mapping[str, tuple[str, tuple[int, ...]]]
_SIZES = {"U8": 1, "BF16": 2, "F16": 2, "U32": 4, "F32": 4}


def header(tensors: Tensors) -> tuple[bytes, int]:
    """The JSON of a file, and the bytes of data that follow it."""
    found: dict[str, object] = {"__metadata__": {"format": "mlx"}}
    offset = 0
    for name, (kind, shape) in tensors.items():
        size = _SIZES[kind]
        for dimension in shape:
            size *= dimension
        found[name] = {"dtype": kind, "shape": list(shape), "data_offsets": [offset, offset + size]}
        offset += size
    return json.dumps(found).encode(), offset


def write(folder: Path, config: Mapping[str, object], *shards: Tensors) -> Path:
    """A model folder with an index, its data all holes."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    index = {}
    for number, tensors in enumerate(shards, 1):
        name = f"model-{number:05}-of-{len(shards):05}.safetensors"
        head, size = header(tensors)
        with (folder / name).open("wb") as file:
            file.write(struct.pack("<Q", len(head)) + head)
            file.truncate(8 + len(head) + size)
        index |= dict.fromkeys(tensors, name)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": index}))
    return folder


def block(layer: int) -> Tensors:
    at = f"model.layers.{layer}"
    return {
        f"{at}.self_attn.q_proj.weight": ("BF16", (64, 64)),
        f"{at}.self_attn.k_proj.weight": ("BF16", (32, 64)),
        f"{at}.mlp.up_proj.weight": ("BF16", (128, 64)),
        f"{at}.input_layernorm.weight": ("BF16", (64,)),
    }


TABLE: Tensors = {"model.embed_tokens.weight": ("BF16", (96, 64)), "model.norm.weight": ("BF16", (64,))}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("model.layers.3.self_attn.q_proj.weight", "blk.3.attn_q_proj.weight"),
        ("language_model.model.layers.3.mlp.down_proj.weight", "blk.3.ffn_down_proj.weight"),
        ("model.layers.3.mlp.experts.7.up_proj.weight", "blk.3.ffn_up_exps.7.up_proj.weight"),
        ("model.layers.3.mlp.switch_mlp.up_proj.weight", "blk.3.ffn_up_exps.up_proj.weight"),
        ("model.layers.3.block_sparse_moe.experts.1.w1.weight", "blk.3.ffn_up_exps.1.w1.weight"),
        ("model.layers.3.mlp.shared_expert.up_proj.weight", "blk.3.ffn_up_shexp.up_proj.weight"),
        ("model.layers.3.mlp.gate.weight", "blk.3.ffn_gate.weight"),
        ("model.language_model.layers.3.linear_attn.A_log", "blk.3.ssm_A_log"),
        ("backbone.layers.3.mixer.in_proj.weight", "blk.3.ssm_in_proj.weight"),
        ("backbone.layers.3.mixer.k_proj.weight", "blk.3.attn_k_proj.weight"),
        ("model.embed_tokens.weight", "token_embd.weight"),
        ("lm_head.weight", "output.weight"),
        ("model.visual.blocks.3.attn.qkv.weight", "model.visual.blocks.3.attn.qkv.weight"),
        ("vision_tower.layers.3.self_attn.q_proj.weight", "vision_tower.layers.3.self_attn.q_proj.weight"),
    ],
)
def test_names_in_the_words_of_gguf(name: str, expected: str) -> None:
    assert gguf_name(name) == expected


def test_a_plain_model_in_two_files(tmp_path: Path) -> None:
    facts, shape = read_folder(write(tmp_path / "m", LLAMA, {**TABLE, **block(0)}, block(1)))
    assert (facts.architecture, facts.layers, facts.context_length, facts.vocabulary) == ("llama", 2, 1024, 96)
    assert facts.quantisation == "BF16"
    assert (shape.input, shape.tied, shape.output) == (96 * 64 * 2, True, 96 * 64 * 2)
    first = shape.layers[0]
    assert (first.memory, first.key_width, first.value_width) == ("full", 32, 32)
    assert (first.attention, first.feed_forward) == (2 * (64 * 64 + 32 * 64 + 64), 2 * 128 * 64)
    assert shape.weights == facts.tensor_bytes == 2 * (96 * 64 + 64) + 2 * (first.attention + first.feed_forward)
    assert shape.guesses == ()


def test_weights_packed_by_mlx(tmp_path: Path) -> None:
    """4 bits in the middle, 8 in the table: 32-bit numbers hold 8 or 4 weights, scales and offsets belong to them."""
    config = {**LLAMA, "quantization": {"group_size": 64, "bits": 4, "model.embed_tokens": {"bits": 8}}}
    tensors: Tensors = {
        "model.embed_tokens.weight": ("U32", (96, 16)),
        "model.embed_tokens.scales": ("BF16", (96, 1)),
        "model.embed_tokens.biases": ("BF16", (96, 1)),
        "model.layers.0.mlp.up_proj.weight": ("U32", (128, 8)),
        "model.layers.0.mlp.up_proj.scales": ("BF16", (128, 1)),
        "model.layers.0.mlp.up_proj.biases": ("BF16", (128, 1)),
    }
    facts, shape = read_folder(write(tmp_path / "m", config, tensors))
    assert facts.parameters == 96 * 64 + 128 * 64
    assert (shape.input, shape.layers[0].feed_forward) == (96 * 16 * 4 + 96 * 4, 128 * 8 * 4 + 128 * 4)
    assert shape.weights == facts.tensor_bytes
    assert facts.quantisation == "8-bit"


def test_experts_packed_by_gpt_oss(tmp_path: Path) -> None:
    config = {**LLAMA, "model_type": "gpt_oss", "sliding_window": 128, "num_local_experts": 4, "num_experts_per_tok": 2}
    config["layer_types"] = ["sliding_attention", "full_attention"]
    tensors: Tensors = {
        **TABLE,
        "model.layers.0.mlp.experts.down_proj_blocks": ("U8", (4, 64, 2, 16)),
        "model.layers.0.mlp.experts.down_proj_scales": ("U8", (4, 64, 2)),
    }
    facts, shape = read_folder(write(tmp_path / "m", config, tensors))
    assert facts.parameters == 96 * 64 + 64 + 4 * 64 * 2 * 32
    assert shape.layers[0].experts == 4 * 64 * 2 * 17
    assert [layer.memory for layer in shape.layers] == ["window", "full"]
    assert (shape.experts, shape.active, shape.window) == (4, 2, 128)


def test_a_hybrid_of_delta_net_and_attention(tmp_path: Path) -> None:
    config = {
        "model_type": "qwen3_5_moe",
        "text_config": {
            **LLAMA,
            "model_type": "qwen3_5_moe_text",
            "num_hidden_layers": 4,
            "layer_types": ["linear_attention"] * 3 + ["full_attention"],
            "linear_num_key_heads": 2,
            "linear_num_value_heads": 4,
            "linear_key_head_dim": 8,
            "linear_value_head_dim": 8,
            "linear_conv_kernel_dim": 4,
        },
    }
    facts, shape = read_folder(write(tmp_path / "m", config, TABLE))
    assert facts.architecture == "qwen35moe"
    assert Counter(layer.memory for layer in shape.layers) == {"recurrent": 3, "full": 1}
    assert shape.layers[0].state_bytes == 4 * (3 * (32 + 2 * 2 * 8) + 8 * 32)


def test_latent_attention_and_prediction(tmp_path: Path) -> None:
    config = {
        **LLAMA,
        "model_type": "glm4_moe_lite",
        "kv_lora_rank": 16,
        "qk_rope_head_dim": 4,
        "qk_nope_head_dim": 12,
        "v_head_dim": 16,
        "num_nextn_predict_layers": 1,
    }
    _, shape = read_folder(write(tmp_path / "m", config, {**TABLE, **block(0), **block(1), **block(2)}))
    assert [(layer.memory, layer.key_width, layer.value_width) for layer in shape.layers[:2]] == [("mla", 20, 0)] * 2
    assert [layer.prediction for layer in shape.layers] == [False, False, True]
    assert len(read_folder(write(tmp_path / "n", config, {**TABLE, **block(0)}))[1].layers) == 2


def test_an_unknown_architecture_says_so(tmp_path: Path) -> None:
    _, shape = read_folder(
        write(tmp_path / "m", {**LLAMA, "model_type": "brandnew"}, {**TABLE, **block(0), **block(1)})
    )
    assert [layer.memory for layer in shape.layers] == ["full", "full"]
    assert "brandnew" in shape.guesses[0]


def refused(folder: Path) -> str:
    with pytest.raises(ModelError) as caught:
        read_folder(folder)
    assert str(folder) in caught.value.message
    return caught.value.message


def test_missing_files(tmp_path: Path) -> None:
    assert "config.json" in refused(tmp_path / "none")
    folder = write(tmp_path / "m", LLAMA, {**TABLE, **block(0)}, block(1))
    (folder / "model-00002-of-00002.safetensors").unlink()
    assert "model-00002-of-00002.safetensors is missing" in refused(folder)
    (folder / "model-00001-of-00002.safetensors").unlink()
    assert "no .safetensors file" in refused(folder)


def test_shards_that_do_not_belong_together(tmp_path: Path) -> None:
    assert "again" in refused(write(tmp_path / "m", LLAMA, {**TABLE, **block(0)}, block(0)))
    folder = write(tmp_path / "n", LLAMA, TABLE)
    (folder / "model.safetensors.index.json").write_text('{"weight_map": {"x": "../../etc/passwd"}}')
    assert "impossible file" in refused(folder)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "truncated"),
        (b"\0" * 8, "truncated"),
        (struct.pack("<Q", 2**63) + b"{}", "truncated"),
        (struct.pack("<Q", 10**8 + 1), "truncated"),
        (struct.pack("<Q", 2) + b"[]", "broken header"),
        (struct.pack("<Q", 4) + b"{\xff\xfe}", "broken header"),
        (struct.pack("<Q", 300_000) + b"[" * 300_000, "broken header"),
    ],
)
def test_files_that_are_broken(tmp_path: Path, content: bytes, words: str) -> None:
    folder = write(tmp_path / "m", LLAMA, TABLE)
    (folder / "model-00001-of-00001.safetensors").write_bytes(content)
    assert words in refused(folder)


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}, "shape"),
        ({"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}, "instead of 0"),
        ({"dtype": "F32", "shape": [1], "data_offsets": [8, 4]}, "instead of 0"),
        ({"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}, "broken header"),
        ({"dtype": "F32", "shape": [1], "data_offsets": [-4, 0]}, "broken header"),
        ({"dtype": "F32", "shape": [2**40, 2**40], "data_offsets": [0, 2**61]}, "shape"),
        ({"dtype": "F32", "shape": [2**70], "data_offsets": [0, 4]}, "broken header"),
        ({"dtype": "F32", "shape": [1] * 17, "data_offsets": [0, 4]}, "broken header"),
        ({"dtype": "NEW3", "shape": [8], "data_offsets": [0, 2**61]}, "truncated"),
    ],
)
def test_tensors_that_lie(entry: dict[str, object], words: str) -> None:
    with pytest.raises(ModelError, match=words):
        parse_shard("x.safetensors", json.dumps({"t": entry}).encode(), 1024)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"num_hidden_layers": -1}, "num_hidden_layers"),
        ({"num_hidden_layers": 10**30}, "num_hidden_layers"),
        ({"num_hidden_layers": 100_000}, "block_count"),
        ({"num_hidden_layers": "two"}, "num_hidden_layers"),
        ({"model_type": None}, "model_type"),
        ({"hidden_size": None}, "embedding_length"),
    ],
)
def test_configurations_that_lie(tmp_path: Path, change: dict[str, object], words: str) -> None:
    assert words in refused(write(tmp_path / "m", {**LLAMA, **change}, TABLE))


@pytest.mark.parametrize("text", ["", "[]", "{", "<html>", "nul"])
def test_a_configuration_that_is_none(tmp_path: Path, text: str) -> None:
    folder = write(tmp_path / "m", LLAMA, TABLE)
    (folder / "config.json").write_text(text)
    assert "config.json" in refused(folder)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    change=st.dictionaries(st.sampled_from([*LLAMA, "quantization", "layer_types", "text_config"]), _JSON, max_size=4)
)
def test_any_configuration_is_read_or_refused(tmp_path: Path, change: dict[str, object]) -> None:
    with contextlib.suppress(ModelError):
        read_folder(write(tmp_path / "m", {**LLAMA, **change}, {**TABLE, **block(0)}))


@settings(max_examples=200, deadline=None)
@given(flips=st.lists(st.tuples(st.integers(0, 700), st.integers(0, 255)), max_size=5), cut=st.integers(0, 700))
def test_any_damage_to_a_shard_is_a_model_error(flips: list[tuple[int, int]], cut: int) -> None:
    content = bytearray(header({**TABLE, **block(0)})[0][:cut])
    for place, value in flips:
        if place < len(content):
            content[place] = value
    with contextlib.suppress(ModelError):
        parse_shard("x.safetensors", bytes(content), 10**6)
