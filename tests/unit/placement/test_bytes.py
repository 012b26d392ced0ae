"""Predicted bytes against what the engine said it holds (`tests/data/referee.json`; `tests/tools/referee.py`)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from hostler.models.shape import Layer, ModelShape
from hostler.placement.bytes import Classes, bytes_of, pieces
from hostler.placement.layout import HOST, Layout, Run, whole
from hostler.testing.published import Published
from hostler.testing.recordings import Row, read_recorded
from hostler.testing.zoo import PUBLISHED

MIB = 2**20
ShapeOf = Callable[..., ModelShape]


@pytest.fixture(scope="session")
def rows() -> tuple[Row, ...]:
    return read_recorded(Path(__file__).parents[2] / "data").rows


def near(predicted: int, mib: float, within: float) -> bool:
    return abs(predicted / MIB - mib) <= within


@pytest.mark.parametrize("model", PUBLISHED, ids=lambda model: model.name)
def test_a_run_on_the_processor_takes_what_the_engine_says(
    shape_of: ShapeOf, rows: tuple[Row, ...], model: Published
) -> None:
    """Weights to 1 MiB, caches and states to the hundredths it prints, compute within 1% and hardly ever too low."""
    shape, own = shape_of(model.name), [row for row in rows if row.model == model.name]
    assert len(own) == 36
    for row in own:
        predicted = bytes_of(shape, row.run, whole(shape, HOST), {})[HOST]
        assert near(predicted.weights + predicted.mapped, row.weights, 1), row
        assert near(predicted.kv, row.kv, 0.011), row
        assert near(predicted.recurrent, row.recurrent, 0.006), row
        assert near(predicted.output, row.output, 0.006), row
        assert -0.006 <= predicted.compute / MIB - row.compute <= row.compute / 100, row


@pytest.mark.parametrize(
    ("name", "context", "slots", "mib"),
    [
        ("Llama-3.1-8B", 4096, 1, 316.01),
        ("Llama-3.1-8B", 32768, 1, 2164.01),
        ("Llama-3.1-8B", 32768, 4, 580.01),
        ("gemma-3-12b", 32768, 1, 1160.52),
        ("GLM-4.7-Flash", 32768, 1, 1448.51),
        ("Qwen3.5-35B-A3B", 32768, 1, 1134.02),
    ],
)
def test_without_flash_attention_every_head_has_its_scores(
    shape_of: ShapeOf, name: str, context: int, slots: int, mib: float
) -> None:
    """Said by the embedded build's dry run (2026.10.11549), f16, `-ub 512`."""
    shape = shape_of(name)
    run = Run(context=context // slots, slots=slots, flash_attention=False)
    predicted = bytes_of(shape, run, whole(shape, HOST), {})[HOST].compute / MIB
    assert -0.001 <= predicted / mib - 1 <= 0.07


def test_vectors_need_the_logits_of_a_whole_micro_batch(shape_of: ShapeOf) -> None:
    """Said by the native build (0c1e570) with `--embedding --pooling last`: 270.51 MiB."""
    shape = shape_of("Llama-3.1-8B")
    found = bytes_of(shape, Run(context=4096, pooled=True), whole(shape, HOST), {})[HOST]
    assert 270.51 <= found.compute / MIB <= 1.1 * 270.51
    assert found.output == 4 * 512 * (128256 + 4096)


def test_a_tied_output_is_loaded_once_more_by_the_card_that_has_it(shape_of: ShapeOf) -> None:
    shape = shape_of("gemma-3-12b")
    run = Run(context=4096)
    alone = bytes_of(shape, run, whole(shape, HOST), {})[HOST]
    on_card = bytes_of(shape, run, whole(shape, "GPU-1"), {"GPU-1": "nvidia"})
    assert (alone.weights, alone.mapped) == (shape.weights, 0)
    assert on_card["GPU-1"].weights == shape.weights
    assert (on_card[HOST].weights, on_card[HOST].mapped) == (0, shape.input)


def test_embeddings_per_layer_stay_mapped_on_the_host(shape_of: ShapeOf) -> None:
    """As in Gemma 3n: they are looked up row by row, and are no part of a tied output."""
    shape = shape_of("gemma-3-12b")
    more = msgspec.structs.replace(shape, input=shape.input + 900 * MIB)
    run = Run(context=4096)
    alone = bytes_of(more, run, whole(more, HOST), {})[HOST]
    assert (alone.weights, alone.mapped) == (shape.weights, 900 * MIB)
    on_card = bytes_of(more, run, whole(more, "GPU-1"), {"GPU-1": "nvidia"})
    assert (on_card["GPU-1"].weights, on_card[HOST].mapped) == (shape.weights, more.input)


def test_an_unmapped_table_is_memory_like_any_other(shape_of: ShapeOf) -> None:
    shape = shape_of("Llama-3.1-8B")
    found = bytes_of(shape, Run(context=4096, mapped=False), whole(shape, "GPU-1"), {})[HOST]
    assert (found.weights, found.mapped) == (shape.input, 0)


def test_experts_of_chosen_layers_lie_on_the_host(shape_of: ShapeOf) -> None:
    shape = shape_of("gpt-oss-120b")
    layout = whole(shape, "GPU-1")
    layout = msgspec.structs.replace(layout, experts=(HOST,) * 20 + layout.experts[20:])
    found = bytes_of(shape, Run(context=65536), layout, {"GPU-1": "nvidia"})
    assert found[HOST].weights == sum(layer.experts for layer in shape.layers[:20])
    assert found[HOST].kv == 0
    assert found["GPU-1"].weights + found[HOST].weights + found[HOST].mapped == shape.weights


def test_what_only_the_host_has(shape_of: ShapeOf) -> None:
    shape = shape_of("gemma-3-12b")
    run = Run(context=8192, slots=2, checkpoints=3, prompt_cache=7 * MIB, projector=90 * MIB)
    layout = msgspec.structs.replace(whole(shape, "GPU-1"), projector="GPU-1")
    found = bytes_of(shape, run, layout, {"GPU-1": "apple"})
    assert found[HOST].prompt_cache == 7 * MIB
    assert found[HOST].checkpoints == 6 * 40 * 1024 * 4096 * 2
    assert found["GPU-1"].prompt_cache == found["GPU-1"].checkpoints == found["GPU-1"].output == 0
    assert found["GPU-1"].projector >= 90 * MIB
    assert found[HOST].projector == 0


def test_a_draft_is_a_model_with_a_cache_of_its_own(shape_of: ShapeOf) -> None:
    shape, draft = shape_of("Qwen3.5-27B"), shape_of("Llama-3.1-8B")
    layout = msgspec.structs.replace(whole(shape, "GPU-1"), draft="GPU-2", gpus=("GPU-1", "GPU-2"))
    found = bytes_of(shape, Run(context=4096, draft=draft), layout, {})
    assert found["GPU-2"].draft > draft.weights - draft.input + 512 * MIB
    assert found["GPU-2"].weights == 0
    assert found["GPU-1"].draft == 0
    assert found[HOST].draft >= draft.input


def test_prediction_layers_are_neither_loaded_nor_given_a_cache(shape_of: ShapeOf) -> None:
    shape = shape_of("Qwen3.5-35B-A3B")
    idle = msgspec.structs.replace(shape.layers[3], memory="none", key_width=0, value_width=0)
    ahead = msgspec.structs.replace(idle, index=40, prediction=True)
    more = msgspec.structs.replace(shape, layers=(*shape.layers, ahead))
    run = Run(context=4096)
    parts = pieces(more, run)
    assert (parts.dense[40], parts.experts[40]) == (0, 0)
    assert bytes_of(more, run, whole(more, HOST), {}) == bytes_of(shape, run, whole(shape, HOST), {})


def layouts(shape: ModelShape) -> some.SearchStrategy[Layout]:
    device = some.sampled_from(("GPU-1", "GPU-2", HOST))
    each = some.tuples(*(device for _ in shape.layers))
    return some.builds(Layout, gpus=some.just(("GPU-1", "GPU-2")), layers=each, experts=each, output=device)


@settings(max_examples=60, deadline=None)
@given(data=some.data(), slots=some.integers(1, 8), context=some.integers(1, 100_000))
def test_nothing_is_lost_or_counted_twice(shape_of: ShapeOf, data: some.DataObject, slots: int, context: int) -> None:
    """Wherever the layers lie, the same weights, caches and states add up."""
    shape = shape_of(data.draw(some.sampled_from([model.name for model in PUBLISHED])))
    layout, run = data.draw(layouts(shape)), Run(context=context, slots=slots, cache_k="q8_0")
    found = bytes_of(shape, run, layout, {})
    once_more = shape.input if shape.tied and layout.output != HOST else 0
    assert sum(each.weights + each.mapped for each in found.values()) == shape.weights + once_more
    parts = pieces(shape, run)
    assert sum(each.kv + each.recurrent for each in found.values()) == sum(parts.cache)
    assert (
        sum(parts.dense) + sum(parts.experts) + shape.input + shape.other + (0 if shape.tied else shape.output)
        == shape.weights
    )
    assert all(size >= 0 for each in found.values() for size in msgspec.structs.astuple(each))


def test_a_split_by_tensor_gives_every_card_its_share(shape_of: ShapeOf) -> None:
    shape, gpus = shape_of("Llama-3.1-8B"), ("GPU-1", "GPU-2")
    first = whole(shape, "GPU-1")
    layout = msgspec.structs.replace(first, gpus=gpus, split="tensor", shares=(0.75, 0.25))
    found = bytes_of(shape, Run(context=4096), layout, {})
    assert found["GPU-1"].weights == pytest.approx(3 * found["GPU-2"].weights, rel=1e-6)
    assert found["GPU-1"].kv + found["GPU-2"].kv == 512 * MIB
    assert found["GPU-2"].compute > 0


def test_a_total_is_the_sum() -> None:
    assert Classes(weights=3, runtime=4).total == 7


def test_an_encoder_keeps_nothing_and_has_no_output_matrix() -> None:
    layer = Layer(
        index=0, memory="none", attention=10, feed_forward=20, experts=0, shared_experts=0, recurrent=0, other=0,
        key_width=0, value_width=0,
    )  # fmt: skip
    shape = ModelShape(
        architecture="bert", parameters=1, active_parameters=1, layers=(layer,), input=100, output=100, tied=True,
        other=5, experts=0, active=0, window=0, embedding=384, feed_forward_width=1536, heads=12, vocabulary=30522,
        context=512, quantisation="F16",
    )  # fmt: skip
    found = bytes_of(shape, Run(context=512, pooled=True), whole(shape, "GPU-1"), {"GPU-1": "nvidia"})
    assert (found["GPU-1"].weights, found[HOST].mapped, found["GPU-1"].kv) == (35, 100, 0)
