"""What placement needs of a model: bytes by class, how layers remember, what is a guess."""

from __future__ import annotations

import contextlib

import pytest
from gguf_writer import Key, Save, Tensor, gguf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hostler.errors import ModelError
from hostler.models.architectures import KNOWN
from hostler.models.facts import Model
from hostler.models.facts_cache import FactsCache
from hostler.models.gguf import read_shape
from hostler.models.shape import Layer, ModelShape
from hostler.models.tensorclasses import part_of

SSM = {"ssm.conv_kernel": 4, "ssm.state_size": 8, "ssm.inner_size": 16, "ssm.group_count": 2}
STATE = 4 * (3 * (16 + 2 * 2 * 8) + 8 * 16)


def shape(save: Save, arch: str, own: dict[str, int | list[int]], tensors: tuple[Tensor, ...] = ()) -> ModelShape:
    """The shape of a small model of an architecture: 4 layers, 4 heads of 16, 2 of them for keys."""
    numbers: dict[str, int | list[int]] = {
        "block_count": 4,
        "context_length": 1024,
        "embedding_length": 64,
        "feed_forward_length": 128,
        "attention.head_count": 4,
        "attention.head_count_kv": 2,
        "vocab_size": 3,
    }
    keys: list[Key] = [("general.architecture", "str", arch)]
    for name, value in (numbers | own).items():
        keys.append((f"{arch}.{name}", "[u32" if isinstance(value, list) else "u32", value))
    table: Tensor = ("token_embd.weight", (64, 3), 0, 768)
    return read_shape([save(content=gguf(keys, (table, *tensors)))])


def memories(found: ModelShape) -> list[str]:
    return [layer.memory for layer in found.layers]


def widths(found: ModelShape) -> list[tuple[int, int]]:
    return [(layer.key_width, layer.value_width) for layer in found.layers]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("attn_q.weight", "attention"),
        ("attn_sinks.weight", "attention"),
        ("post_attention_norm.weight", "attention"),
        ("ffn_down.weight", "feed_forward"),
        ("ffn_gate_inp.weight", "feed_forward"),
        ("exp_probs_b.bias", "feed_forward"),
        ("ffn_norm_exps.weight", "feed_forward"),
        ("ffn_up_exps.weight", "experts"),
        ("ffn_gate_up_exps.weight", "experts"),
        ("ffn_down_chexps.weight", "experts"),
        ("ffn_down_exps.bias", "experts"),
        ("ffn_up.7.weight", "experts"),
        ("ffn_up_shexp.weight", "shared_experts"),
        ("ffn_gate_inp_shexp.weight", "shared_experts"),
        ("ssm_a", "recurrent"),
        ("time_mix_w1.weight", "recurrent"),
        ("shortconv.conv.weight", "recurrent"),
        ("nextn.eh_proj.weight", "other"),
        ("something_new.weight", "other"),
    ],
)
def test_tensors_of_a_layer_by_name(name: str, kind: str) -> None:
    assert part_of(f"blk.12.{name}") == (12, kind, name)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("token_embd.weight", "input"),
        ("per_layer_token_embd.weight", "input"),
        ("token_embd_norm.weight", "other"),
        ("output.weight", "output"),
        ("output_norm.weight", "other"),
        ("rope_freqs.weight", "other"),
        ("blk.x.attn_q.weight", "other"),
    ],
)
def test_tensors_of_no_layer_by_name(name: str, kind: str) -> None:
    assert part_of(name) == (None, kind, name)


def test_bytes_by_class_add_up(save: Save) -> None:
    names = ("blk.0.attn_q.weight", "blk.0.ffn_up.weight", "blk.3.ffn_up_exps.weight", "blk.9.ffn_up.weight", "odd")
    found = shape(save, "llama", {}, tuple((name, (64, 8), 0, 2048) for name in names))
    assert found.layers[0].attention == found.layers[0].feed_forward == found.layers[3].experts == 2048
    assert (found.input, found.output, found.tied, found.other) == (768, 768, True, 2 * 2048)
    assert found.weights == 768 + 5 * 2048
    assert found.guesses == ()


def test_plain_attention(save: Save) -> None:
    found = shape(save, "qwen3", {"attention.key_length": 32, "attention.value_length": 24})
    assert memories(found) == ["full"] * 4
    assert widths(found) == [(64, 48)] * 4


def test_a_window_in_all_but_every_nth_layer(save: Save) -> None:
    found = shape(save, "gpt-oss", {"attention.sliding_window": 128})
    assert memories(found) == ["window", "full", "window", "full"]
    assert found.window == 128
    first = shape(save, "smallthinker", {"attention.sliding_window": 1, "attention.sliding_window_pattern": 2})
    assert (memories(first), first.window) == (["full", "window", "full", "window"], 4096)


def test_windows_by_layer_with_heads_of_their_own_size(save: Save) -> None:
    own: dict[str, int | list[int]] = {
        "attention.sliding_window": 512,
        "attention.sliding_window_pattern": [1, 1, 0, 0],
        "attention.key_length": 32,
        "attention.value_length": 32,
        "attention.key_length_swa": 8,
        "attention.value_length_swa": 8,
        "attention.shared_kv_layers": 1,
    }
    found = shape(save, "gemma4", own)
    assert memories(found) == ["window", "window", "full", "none"]
    assert widths(found) == [(16, 16), (16, 16), (64, 64), (0, 0)]


def test_a_window_that_the_engine_ignores(save: Save) -> None:
    found = shape(save, "llama", {"attention.sliding_window": 4096})
    assert (memories(found), found.window) == (["full"] * 4, 0)


def test_latent_attention_keeps_one_row_per_token(save: Save) -> None:
    own: dict[str, int | list[int]] = {
        "attention.head_count_kv": 1,
        "attention.key_length": 576,
        "attention.value_length": 512,
        "attention.key_length_mla": 256,
        "attention.value_length_mla": 256,
    }
    found = shape(save, "deepseek2", own)
    assert memories(found) == ["mla"] * 4
    assert widths(found) == [(576, 0)] * 4


def test_latent_attention_of_old_files_is_unpacked(save: Save) -> None:
    own: dict[str, int | list[int]] = {
        "attention.head_count_kv": 4,
        "attention.key_length": 192,
        "attention.value_length": 128,
    }
    assert widths(shape(save, "deepseek2", own)) == [(768, 512)] * 4


def test_recurrent_layers_between_attention(save: Save) -> None:
    found = shape(save, "qwen3next", {"full_attention_interval": 2, **SSM})
    assert memories(found) == ["recurrent", "full", "recurrent", "full"]
    assert [layer.state_bytes for layer in found.layers] == [STATE, 0, STATE, 0]
    assert widths(found) == [(0, 0), (32, 32), (0, 0), (32, 32)]


def test_recurrent_layers_by_heads(save: Save) -> None:
    found = shape(save, "jamba", {"attention.head_count_kv": [0, 2, 0, 0], **SSM})
    assert memories(found) == ["recurrent", "full", "recurrent", "recurrent"]
    nemotron = shape(
        save, "nemotron_h", {"attention.head_count_kv": [0, 2, 0, 0], "feed_forward_length": [0, 0, 128, 0], **SSM}
    )
    assert memories(nemotron) == ["recurrent", "full", "none", "recurrent"]


def test_every_layer_recurrent(save: Save) -> None:
    found = shape(save, "mamba2", {"attention.head_count": 0, "attention.head_count_kv": 0, **SSM})
    assert memories(found) == ["recurrent"] * 4
    assert {layer.state_bytes for layer in found.layers} == {STATE}


def test_attention_and_a_state_side_by_side(save: Save) -> None:
    found = shape(save, "falcon-h1", dict(SSM))
    assert memories(found) == ["full"] * 4
    assert (found.layers[0].state_bytes, found.layers[0].key_width) == (STATE, 32)


@pytest.mark.parametrize(
    ("arch", "own", "expected"),
    [
        ("rwkv7", {"wkv.head_size": 16}, 2 * 64 + 64 * 16),
        ("lfm2", {"attention.head_count_kv": 0, "shortconv.l_cache": 3}, 2 * 64),
        (
            "kimi-linear",
            {"attention.head_count_kv": 0, "kda.head_dim": 8, "ssm.conv_kernel": 4},
            3 * 3 * 32 + 8 * 8 * 4,
        ),
    ],
)
def test_other_states(save: Save, arch: str, own: dict[str, int | list[int]], expected: int) -> None:
    assert shape(save, arch, own).layers[0].state_bytes == 4 * expected


@pytest.mark.parametrize("arch", ["glm4moe", "deepseek2", "qwen35moe"])
def test_blocks_for_multi_token_prediction(save: Save, arch: str) -> None:
    """Seen in the engine's dry run of all three: these blocks get no cache."""
    found = shape(save, arch, {"nextn_predict_layers": 1, **SSM}, (("blk.3.nextn.eh_proj.weight", (64, 8), 0, 2048),))
    assert [layer.prediction for layer in found.layers] == [False, False, False, True]
    assert (memories(found)[3], widths(found)[3], found.layers[3].state_bytes) == ("none", (0, 0), 0)
    assert found.layers[3].other == 2048
    assert found.active_parameters == 64 * 3


def test_embedding_models_remember_nothing(save: Save) -> None:
    assert memories(shape(save, "bert", {})) == ["none"] * 4


def test_active_parameters(save: Save) -> None:
    tensors: tuple[Tensor, ...] = (
        ("blk.0.ffn_up_exps.weight", (64, 8, 8), 0, 16384),
        ("blk.0.attn_q.weight", (64, 8), 0, 2048),
        ("output.weight", (64, 3), 0, 768),
    )
    found = shape(save, "qwen3moe", {"expert_count": 8, "expert_used_count": 2}, tensors)
    assert found.parameters == 64 * 3 * 2 + 64 * 64 + 64 * 8
    assert found.active_parameters == 64 * 3 + 64 * 64 // 4 + 64 * 8
    assert not found.tied


def test_an_unknown_architecture_has_exact_bytes_and_says_what_is_guessed(save: Save) -> None:
    tensors: tuple[Tensor, ...] = (
        ("blk.0.attn_k.weight", (64, 8), 0, 2048),
        ("blk.1.ssm_in.weight", (64, 8), 0, 2048),
        ("blk.2.attn_qkv.weight", (64, 8), 0, 2048),
        ("blk.2.ssm_in.weight", (64, 8), 0, 2048),
    )
    found = shape(save, "brandnew", {"attention.sliding_window": 64, **SSM}, tensors)
    assert found.weights == 768 + 4 * 2048
    assert memories(found) == ["full", "recurrent", "full", "none"]
    assert [layer.state_bytes for layer in found.layers] == [0, STATE, STATE, 0]
    assert len(found.guesses) == 3
    assert all("brandnew" in guess for guess in found.guesses)


def test_impossible_numbers_name_their_key(save: Save) -> None:
    with pytest.raises(ModelError, match="head_count_kv"):
        shape(save, "jamba", {"attention.head_count_kv": [0, 2], **SSM})
    with pytest.raises(ModelError, match="block_count"):
        shape(save, "llama", {"block_count": 0})


def test_a_type_said_to_be_unquantised_that_is_not(save: Save) -> None:
    """gpt-oss in "F16" is 93% MXFP4."""
    big: Tensor = ("blk.0.ffn_up_exps.weight", (64, 64), 39, 64 * 64 // 32 * 17)
    keys: list[Key] = [
        ("general.architecture", "str", "gpt-oss"),
        ("general.file_type", "u32", 1),
        *(
            (f"gpt-oss.{name}", "u32", number)
            for name, number in {"block_count": 1, "context_length": 1, "embedding_length": 64}.items()
        ),
    ]
    assert read_shape([save(content=gguf(keys, (big,)))]).quantisation == "MXFP4"


_NUMBERS = st.integers(-(2**40), 2**40) | st.integers(0, 9)
_VALUES = (
    _NUMBERS.map(lambda number: ("u64" if number >= 0 else "f32", number))
    | st.booleans().map(lambda flag: ("bool", flag))
    | st.text(max_size=4).map(lambda word: ("str", word))
    | st.lists(st.integers(0, 9), max_size=5).map(lambda numbers: ("[u32", numbers))
)
_KEYS = (
    "block_count",
    "embedding_length",
    "attention.head_count",
    "attention.head_count_kv",
    "attention.key_length",
    "attention.key_length_mla",
    "attention.value_length_mla",
    "attention.sliding_window",
    "attention.sliding_window_pattern",
    "attention.recurrent_layers",
    "attention.shared_kv_layers",
    "attention.indexer.key_length",
    "feed_forward_length",
    "expert_count",
    "expert_used_count",
    "full_attention_interval",
    "nextn_predict_layers",
    "ssm.conv_kernel",
    "ssm.state_size",
    "ssm.inner_size",
    "shortconv.l_cache",
    "kda.head_dim",
    "wkv.head_size",
)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    arch=st.sampled_from([*sorted(KNOWN), "brandnew"]), own=st.dictionaries(st.sampled_from(_KEYS), _VALUES, max_size=8)
)
def test_any_keys_are_read_or_refused(save: Save, arch: str, own: dict[str, tuple[str, object]]) -> None:
    """Whatever the keys say, it is an answer that adds up or a ModelError."""
    whole = {"block_count": ("u32", 2), "context_length": ("u32", 9), "embedding_length": ("u32", 64)}
    keys: list[Key] = [("general.architecture", "str", arch)]
    keys += [(f"{arch}.{name}", kind, value) for name, (kind, value) in (whole | own).items()]
    tensors: tuple[Tensor, ...] = (("token_embd.weight", (64, 3), 0, 768), ("blk.1.attn_k.weight", (64, 8), 0, 2048))
    path = save(content=gguf(keys, tensors))
    with contextlib.suppress(ModelError):
        found = read_shape([path])
        assert found.weights == 768 + 2048
        assert all(layer.key_width >= 0 and layer.state_bytes >= 0 for layer in found.layers)
        assert found.active_parameters >= 0


def test_the_cache_keeps_the_shape_with_the_facts(save: Save) -> None:
    model = Model(name="tiny", files=(save(),), size=1, origin="path")
    cache = FactsCache()
    first = cache.shape(model)
    assert cache.shape(model) is first
    assert first.weights == cache.facts(model).tensor_bytes
    assert isinstance(first.layers[0], Layer)
