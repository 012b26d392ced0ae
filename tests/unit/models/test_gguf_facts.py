"""Facts from keys: defaults, arrays, split files."""

from __future__ import annotations

from pathlib import Path

import pytest
from gguf_writer import LLAMA, TENSORS, Key, Save, gguf

from hostler.errors import ModelError
from hostler.models.facts import GgufFacts, Model
from hostler.models.facts_cache import FactsCache
from hostler.models.gguf import read_facts


def keys(*changes: Key, without: str = "") -> list[Key]:
    """The keys of the small model, some replaced or added, one left out."""
    changed = {name: (name, kind, value) for name, kind, value in changes}
    kept = [changed.pop(key[0], key) for key in LLAMA if key[0] != without]
    return [*kept, *changed.values()]


def facts(save: Save, *changes: Key, without: str = "") -> GgufFacts:
    return read_facts([save(content=gguf(keys(*changes, without=without), TENSORS))])


def test_a_small_model(save: Save) -> None:
    read = facts(save)
    assert read == GgufFacts(
        architecture="llama",
        name="Tiny",
        parameters=64 * 3 + 64 * 64,
        tensor_bytes=768 + 2560,
        quantisation="Q4_1",
        layers=2,
        context_length=1024,
        embedding_length=64,
        vocabulary=3,
        heads=4,
        kv_heads=(2, 2),
        key_length=16,
        value_length=16,
        chat_template="{{ messages }}",
        licence="mit",
    )


@pytest.mark.parametrize(
    ("given", "told", "hint"),
    [
        ((("general.type", "str", "adapter"),), "a LoRA adapter for llama models", "--lora"),
        (
            (("general.type", "str", "adapter"), ("adapter.type", "str", "x")),
            "an adapter for llama",
            "base model",
        ),
        ((("general.type", "str", "mmproj"),), "a projector", "beside its model"),
        ((("general.type", "str", "imatrix"),), "an importance matrix", "the model itself"),
    ],
)
def test_what_is_no_model_is_called_what_it_is(save: Save, given: tuple[Key, ...], told: str, hint: str) -> None:
    # An adapter with all keys of its base was planned, and failed when it was loaded.
    with pytest.raises(ModelError, match=told) as caught:
        facts(save, *given)
    assert hint in caught.value.hint


def test_a_model_may_say_that_it_is_one(save: Save) -> None:
    assert facts(save, ("general.type", "str", "model")).layers == 2


def test_kv_heads_by_layer(save: Save) -> None:
    assert facts(save, ("llama.attention.head_count_kv", "[u32", [4, 0])).kv_heads == (4, 0)
    assert facts(save, without="llama.attention.head_count_kv").kv_heads == (4, 4)


def test_a_hybrid_keeps_keys_in_every_nth_layer(save: Save) -> None:
    read = facts(
        save,
        ("llama.block_count", "u32", 4),
        ("llama.full_attention_interval", "u32", 2),
        ("llama.ssm.state_size", "u32", 8),
        ("llama.ssm.inner_size", "u32", 16),
        ("llama.ssm.conv_kernel", "u32", 4),
        ("llama.ssm.group_count", "u32", 1),
    )
    assert read.kv_heads == (0, 2, 0, 2)
    assert read.recurrent_bytes == 4 * 4 * (3 * (16 + 2 * 8) + 8 * 16)


def test_what_keys_say_wins_over_defaults(save: Save) -> None:
    read = facts(
        save,
        ("llama.attention.key_length", "u32", 192),
        ("llama.attention.value_length", "u32", 128),
        ("llama.attention.sliding_window", "u32", 512),
        ("llama.expert_count", "u32", 8),
        ("llama.pooling_type", "u32", 2),
    )
    assert (read.key_length, read.value_length, read.sliding_window, read.experts) == (192, 128, 512, 8)
    assert read.pooling == "cls"


def test_pooling_none_is_no_embedding_model(save: Save) -> None:
    assert facts(save, ("llama.pooling_type", "u32", 0)).pooling is None


def test_without_a_file_type_the_heaviest_tensor_type_is_the_label(save: Save) -> None:
    assert facts(save, without="general.file_type").quantisation == "Q4_1"


def test_a_named_default_template(save: Save) -> None:
    named: Key = ("tokenizer.chat_template.default", "str", "{{ x }}")
    assert facts(save, named, without="tokenizer.chat_template").chat_template == "{{ x }}"
    assert facts(save, without="tokenizer.chat_template").chat_template is None


@pytest.mark.parametrize("missing", ["llama.block_count", "llama.context_length", "llama.embedding_length"])
def test_a_missing_key_is_named(save: Save, missing: str) -> None:
    with pytest.raises(ModelError, match=missing):
        facts(save, without=missing)


@pytest.mark.parametrize(
    "wrong",
    [
        ("llama.block_count", "u32", 0),
        ("llama.block_count", "u32", 2**31 - 1),
        ("llama.block_count", "str", "two"),
        ("llama.context_length", "f32", 0.5),
        ("llama.attention.head_count_kv", "[u32", [1, 2, 3]),
        ("llama.attention.head_count", "i32", -4),
    ],
)
def test_an_impossible_value_names_its_key(save: Save, wrong: Key) -> None:
    with pytest.raises(ModelError, match=wrong[0]):
        facts(save, wrong)


def test_a_projector_is_not_a_model(save: Save) -> None:
    with pytest.raises(ModelError, match="projector"):
        facts(save, ("general.architecture", "str", "clip"))


def _parts(save: Save, tensors: int = 2) -> list[Path]:
    first = [*LLAMA, ("split.no", "u32", 0), ("split.count", "u32", 2), ("split.tensors.count", "i32", tensors)]
    second: list[Key] = [("split.no", "u32", 1), ("split.count", "u32", 2)]
    return [
        save("m-00001-of-00002.gguf", gguf(first, TENSORS[:1])),
        save("m-00002-of-00002.gguf", gguf(second, TENSORS[1:])),
    ]


def test_parts_are_summed(save: Save) -> None:
    read = read_facts(_parts(save))
    assert (read.parameters, read.tensor_bytes) == (64 * 3 + 64 * 64, 768 + 2560)


def test_parts_must_be_whole_and_in_order(save: Save) -> None:
    first, second = _parts(save)
    with pytest.raises(ModelError, match="one of 2 parts"):
        read_facts([first])
    with pytest.raises(ModelError, match="part 1 of 2"):
        read_facts([second, first])
    with pytest.raises(ModelError, match="2 tensors instead of 3"):
        read_facts(_parts(save, tensors=3))


def test_a_tensor_in_two_parts_is_refused(save: Save) -> None:
    first: list[Key] = [*LLAMA, ("split.no", "u32", 0), ("split.count", "u32", 2)]
    second: list[Key] = [("split.no", "u32", 1), ("split.count", "u32", 2)]
    parts = [
        save("a-00001-of-00002.gguf", gguf(first, TENSORS)),
        save("a-00002-of-00002.gguf", gguf(second, TENSORS[1:])),
    ]
    with pytest.raises(ModelError, match=r"00002-of-00002.gguf holds the tensor 'blk.0.attn_q.weight'"):
        read_facts(parts)


def test_facts_are_read_again_only_when_the_file_changed(save: Save) -> None:
    path = save()
    model = Model(name="tiny", files=(path,), size=1, origin="path")
    cache = FactsCache()
    first = cache.facts(model)
    assert cache.facts(model) is first
    save(content=gguf(keys(("general.name", "str", "Another")), TENSORS))
    assert cache.facts(model).name == "Another"
    path.unlink()
    with pytest.raises(ModelError, match="does not exist"):
        cache.facts(model)
