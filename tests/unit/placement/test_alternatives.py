from __future__ import annotations

from planning import dense, gpu, machine, mixture, site, wish

from hostler.models.shape import ModelShape
from hostler.placement.alternatives import Alternative, alternatives, as_quantised, spills
from hostler.placement.planner import plan
from hostler.placement.wish import Site, Wish


def told(shape: ModelShape, asked: Wish, where: Site) -> dict[str, Alternative]:
    made = plan(shape, asked, where)
    return {each.change: each for each in alternatives(shape, asked, where, made)}


def test_the_other_cache_is_told_with_what_it_frees() -> None:
    shape, where = dense(), site(machine(gpu(0, 24)))
    found = told(shape, wish(shape, context=65536), where)["q8_0 cache"]
    assert found.frees["gpu0"] > 0
    assert found.settings == {"kv": "q8_0"}
    assert "frees" in found.effect
    coarse = told(shape, wish(shape, context=65536, kv="q8_0"), where)["f16 cache"]
    assert coarse.frees["gpu0"] < 0
    assert "more" in coarse.effect


def test_a_context_that_stays_on_the_cards_is_told_where_the_wished_one_does_not() -> None:
    shape, where = dense(), site(machine(gpu(0, 12)))
    asked = wish(shape, context=131072)
    made = plan(shape, asked, where)
    assert spills(made)
    found = next(each for each in told(shape, asked, where).values() if each.change.startswith("context"))
    assert found.context < 131072
    assert found.decode_ratio > 1
    assert not spills(plan(shape, wish(shape, context=found.context), where))


def test_more_context_is_told_where_it_fits() -> None:
    shape, where = dense(), site(machine(gpu(0, 80)))
    found = told(shape, wish(shape, context=8192), where)
    assert found[f"context {shape.context}"].effect.startswith("fits too")
    assert not any(change.startswith("context") for change in told(shape, wish(shape, context="max"), where))


def test_a_coarser_quantisation_is_told_where_it_is_clearly_quicker() -> None:
    shape, where = mixture(30), site(machine(gpu(0, 24)))
    found = told(shape, wish(shape, context=8192), where)
    coarser = [each for change, each in found.items() if change in ("IQ4_XS", "Q3_K_M", "Q2_K")]
    assert coarser
    assert all(each.decode_ratio >= 1.15 for each in coarser)
    assert all(each.settings == {} for each in coarser)


def test_a_finer_quantisation_is_told_where_it_fits_as_well() -> None:
    shape, where = dense(), site(machine(gpu(0, 80)))
    assert "closer to the original" in told(shape, wish(shape, context=8192), where)["Q8_0"].effect


def test_larger_steps_are_told_where_experts_cross_the_bus() -> None:
    shape, where = mixture(30), site(machine(gpu(0, 12)))
    found = told(shape, wish(shape, context=8192, engine={"ubatch": 256}, workload={"prompt": 8000}), where)
    assert found["ubatch 2048"].prefill_ratio > 1


def test_quantising_scales_what_is_quantised() -> None:
    shape = dense()
    coarse = as_quantised(shape, "Q2_K")
    assert abs(coarse.weights / shape.weights - 3.16 / 4.89) < 1e-3
    assert coarse.quantisation == "Q2_K"
