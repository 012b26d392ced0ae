"""The memory model against the engine's own log, and its properties."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hostler.models.facts import GgufFacts
from hostler.placement.hostonly import Need, breakdown, estimate, window_layers

MIB = 2**20

SMOLLM2 = GgufFacts(
    architecture="llama", name="SmolLM2", parameters=134_515_008, tensor_bytes=96_576_768, quantisation="Q4_1",
    layers=30, context_length=8192, embedding_length=576, vocabulary=49_152, heads=9, kv_heads=(3,) * 30,
    key_length=64, value_length=64,
)  # fmt: skip
GEMMA3 = GgufFacts(
    architecture="gemma3", name="Gemma 3", parameters=268_098_176, tensor_bytes=246_587_904, quantisation="Q4_K_M",
    layers=18, context_length=32_768, embedding_length=640, vocabulary=262_144, heads=4, kv_heads=(1,) * 18,
    key_length=256, value_length=256, sliding_window=512,
)  # fmt: skip


def test_smollm2_as_the_engine_logs_it() -> None:
    """Log: model 92.10, KV 180.00, compute 22.64, output 0.19 MiB; 351 MiB resident after use."""
    found = breakdown(Need(facts=SMOLLM2, context=8192))
    assert round(found.weights / MIB, 2) == 92.10
    assert found.kv == 180 * MIB
    assert 22.64 * MIB <= found.compute <= 2 * 22.64 * MIB
    assert round(found.output / MIB, 2) == 0.19
    assert 351 * MIB <= found.total <= 1.25 * 351 * MIB


def test_gemma3_windows_as_the_engine_logs_them() -> None:
    """Log at two slots of 4096: KV 24.00 and 30.00, compute 23.28, output 2.00 MiB; 429 MiB resident after use."""
    found = breakdown(Need(facts=GEMMA3, context=4096, slots=2))
    assert found.kv == 54 * MIB
    assert 23.28 * MIB <= found.compute <= 2 * 23.28 * MIB
    assert 429 * MIB <= found.total <= 1.25 * 429 * MIB


def test_a_checkpoint_holds_the_windows() -> None:
    """Log: `created context checkpoint ... size = 7.506 MiB`."""
    assert breakdown(Need(facts=GEMMA3, context=4096, checkpoints=3, slots=2)).checkpoints == 6 * 7.5 * MIB
    assert breakdown(Need(facts=SMOLLM2, context=4096, checkpoints=3)).checkpoints == 0


def test_larger_models_known_from_real_runs() -> None:
    """Gemma 3 12B at 8192: 992 MiB. A hybrid of 10 attention layers at 262144, q8_0: 2720 MiB."""
    gemma = GgufFacts(
        architecture="gemma3", name="", parameters=0, tensor_bytes=0, quantisation="", layers=48, context_length=8192,
        embedding_length=3840, vocabulary=262_144, heads=16, kv_heads=(8,) * 48, key_length=256, value_length=256,
        sliding_window=1024,
    )  # fmt: skip
    hybrid = GgufFacts(
        architecture="qwen35moe", name="", parameters=0, tensor_bytes=0, quantisation="", layers=40,
        context_length=262_144, embedding_length=2048, vocabulary=248_320, heads=16, kv_heads=(0, 0, 0, 2) * 10,
        key_length=256, value_length=256,
    )  # fmt: skip
    assert breakdown(Need(facts=gemma, context=8192)).kv == 992 * MIB
    need = Need(facts=hybrid, context=262_144, cache_type_k="q8_0", cache_type_v="q8_0")
    assert breakdown(need).kv == 2720 * MIB


def test_an_unknown_window_pattern_counts_every_layer_whole() -> None:
    other = GgufFacts(
        architecture="newcomer", name="", parameters=0, tensor_bytes=0, quantisation="", layers=2, context_length=512,
        embedding_length=64, vocabulary=9, heads=1, kv_heads=(1, 1), key_length=64, value_length=64, sliding_window=512,
    )  # fmt: skip
    assert not any(window_layers(other))
    assert breakdown(Need(facts=other, context=4096)).kv == 2 * 4096 * 64 * 2 * 2


@given(
    context=st.integers(16, 200_000),
    slots=st.integers(1, 16),
    more=st.integers(1, 100_000),
    facts=st.sampled_from([SMOLLM2, GEMMA3]),
)
def test_more_never_needs_less(context: int, slots: int, more: int, facts: GgufFacts) -> None:
    def total(context: int, slots: int) -> int:
        return estimate(Need(facts=facts, context=context, slots=slots))["host"]

    base = total(context, slots)
    assert base > facts.tensor_bytes
    assert total(context + more, slots) >= base
    assert total(context, slots + 1) > base


def test_every_class_is_in_the_total() -> None:
    plain = Need(facts=SMOLLM2, context=1024)
    more = Need(facts=SMOLLM2, context=1024, prompt_cache=MIB, projector=2 * MIB)
    assert estimate(more)["host"] - estimate(plain)["host"] == 3 * MIB
    assert breakdown(Need(facts=SMOLLM2, context=1024, flash_attention=False)).compute > breakdown(plain).compute
