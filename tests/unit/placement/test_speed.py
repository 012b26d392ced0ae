"""Predicted speed, on machines and models with round figures."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from speed_cases import GB, IDEAL, dense, gpu, host, layer, machine, mixture, model

from hostler.models.shape import ModelShape
from hostler.placement.efficiency import PRIORS
from hostler.placement.layout import HOST, Layout, Run, whole
from hostler.placement.speed import Range, costs, shortfall, speed_of, splits_of

RUN = Run(context=8192, threads=8)
# A step's sampling, with the vocabulary of these models (none).
STEP = 100e-6


def laid(shape: ModelShape, homes: str, experts: str = "", output: str = "0") -> Layout:
    """``homes`` and ``experts``: a digit per layer is a GPU, ``h`` the host."""
    named = {"h": HOST} | {digit: f"gpu{digit}" for digit in "0123"}
    gpus = tuple(sorted({named[each] for each in homes + experts + output} - {HOST}))
    return Layout(
        gpus=gpus,
        layers=tuple(named[each] for each in homes),
        experts=tuple(named[each] for each in experts or homes),
        output=named[output],
    )


def seconds(rate: Range) -> float:
    return 1 / rate.value


def test_decode_on_one_device_reads_every_weight_once() -> None:
    shape = dense()
    speed = speed_of(costs(shape, RUN, machine(gpu()), IDEAL), whole(shape, "gpu0"))
    crossing = 20e-6 + 4096 * 4 / (1.969e9 * 16)
    assert seconds(speed.decode) == pytest.approx(500e6 / (1000 * GB) + 10 * 1024 / (1000 * GB) + crossing + STEP)
    assert speed.bound == "gpu0"
    assert speed.splits == 2


def test_the_cache_is_read_up_to_the_depth() -> None:
    shape, site = dense(), machine(gpu())
    near, far = (speed_of(costs(shape, RUN, site, IDEAL, depth), whole(shape, "gpu0")) for depth in (0, 100_000))
    assert seconds(far.decode) - seconds(near.decode) == pytest.approx(10 * 1024 * 100_000 / (1000 * GB))
    assert far.depth == 100_000


def test_a_quantised_cache_is_read_faster() -> None:
    shape, site = dense(), machine(gpu())
    small = msgspec.structs.replace(RUN, cache_k="q8_0", cache_v="q8_0")
    plain, quantised = (
        speed_of(costs(shape, run, site, IDEAL, 100_000), whole(shape, "gpu0")).decode.value for run in (RUN, small)
    )
    assert quantised > 1.3 * plain


def test_a_window_bounds_what_is_read() -> None:
    windowed, site = dense(memory="window"), machine(gpu())
    one, two = (
        speed_of(costs(windowed, RUN, site, IDEAL, depth), whole(windowed, "gpu0")) for depth in (1024, 100_000)
    )
    assert one.decode == two.decode
    assert one.prefill == two.prefill


def test_of_the_experts_those_that_are_used_are_read() -> None:
    shape, site = mixture(), machine(gpu())
    table = costs(shape, RUN, site, IDEAL)
    assert table.experts["gpu0"][0].decode == pytest.approx(320e6 / 8 / (1000 * GB))
    assert table.dense["gpu0"][0].decode == pytest.approx((40e6 + 1024) / (1000 * GB))


def test_a_recurrent_state_is_read_and_written_whatever_the_depth() -> None:
    shape = model((layer(0, memory="recurrent", key_width=0, value_width=0, query_width=0, state_bytes=10**9),))
    site = machine(gpu())
    table = [costs(shape, RUN, site, IDEAL, depth).dense["gpu0"][0] for depth in (0, 100_000)]
    assert table[0] == table[1]
    assert table[0].decode == pytest.approx(40e6 / (1000 * GB) + 2e9 / (1000 * GB))


def test_prediction_layers_cost_nothing() -> None:
    shape = model((layer(0), layer(1, prediction=True)))
    table = costs(shape, RUN, machine(gpu()), IDEAL)
    assert table.dense["gpu0"][1] == (0.0, 0.0)
    assert table.dense["gpu0"][0].decode > 0


def test_arithmetic_limits_a_processor_whose_memory_is_faster() -> None:
    shape = dense()
    slow = machine(memory=host(bandwidth=1000 * GB, rate=1e11))
    speed = speed_of(costs(shape, RUN, slow, IDEAL), whole(shape, HOST))
    assert seconds(speed.decode) == pytest.approx(2 * 500e6 / 1e11 + 10 * 2 * 512 / 1e11 + STEP)
    assert speed.splits == 1


def test_prefill_counts_operations_and_reads_weights_once_per_ubatch() -> None:
    shape = dense()
    table = costs(shape, RUN, machine(gpu()), IDEAL)
    expected = 2 * 40e6 / 100e12 + 40e6 / (1000 * GB) / 512 + 2 * 512 / 100e12
    assert table.dense["gpu0"][0].prefill == pytest.approx(expected)


def test_experts_on_the_host_go_over_the_link_for_each_ubatch() -> None:
    shape, site = mixture(), machine(gpu())
    table = costs(shape, RUN, site, IDEAL)
    copied = 320e6 / (1.969e9 * 16 * 0.55) / 512
    assert table.lent_experts["gpu0"][0] - table.experts["gpu0"][0].prefill == pytest.approx(copied, rel=1e-3)
    pinned = costs(shape, msgspec.structs.replace(RUN, mapped=False), site, IDEAL)
    assert pinned.lent_experts["gpu0"][0] < table.lent_experts["gpu0"][0]


def test_a_larger_ubatch_copies_experts_less_often() -> None:
    shape, site = mixture(), machine(gpu())
    layout = laid(shape, "0" * 10, "h" * 10)
    small, large = (
        speed_of(costs(shape, msgspec.structs.replace(RUN, ubatch=size), site, IDEAL), layout) for size in (512, 2048)
    )
    assert large.prefill.value > 2 * small.prefill.value
    assert large.decode == small.decode


def test_small_batches_are_computed_where_the_weights_lie() -> None:
    table = costs(mixture(), msgspec.structs.replace(RUN, ubatch=16), machine(gpu()), IDEAL)
    assert table.lent_dense == {}
    assert table.lent_experts == {}


def test_experts_on_the_host_bound_a_step() -> None:
    shape = mixture()
    speed = speed_of(costs(shape, RUN, machine(gpu()), IDEAL), laid(shape, "0" * 10, "h" * 10))
    assert speed.bound == HOST
    assert 0 < speed.shares["gpu0"] < speed.shares[HOST] < 1
    assert sum(speed.shares.values()) < 1


def test_the_fast_card_first_is_faster() -> None:
    shape, site = dense(), machine(gpu(0, 1000 * GB), gpu(1, 500 * GB))
    table = costs(shape, RUN, site, IDEAL)
    assert speed_of(table, laid(shape, "0000000011", output="1")).decode.value > (
        speed_of(table, laid(shape, "0011111111", output="1")).decode.value
    )


def test_cards_that_hold_whole_layers_work_on_several_ubatches_at_once() -> None:
    shape, site = dense(), machine(gpu(0), gpu(1))
    run = msgspec.structs.replace(RUN, batch=2048, ubatch=512)
    alone = speed_of(costs(shape, run, site, IDEAL), whole(shape, "gpu0")).prefill.value
    table = costs(shape, run, site, IDEAL)
    both = speed_of(table, laid(shape, "0000011111", output="1")).prefill.value
    assert 1.3 * alone < both < 2 * alone
    # With a layer on the host they wait for each other.
    assert speed_of(table, laid(shape, "h000011111", output="1")).prefill.value < alone


def test_cards_that_share_every_layer_are_as_slow_as_the_slowest_and_meet_twice_a_layer() -> None:
    shape, site = dense(), machine(gpu(0), gpu(1))
    cut = Layout(
        gpus=("gpu0", "gpu1"), layers=("gpu0",) * 10, experts=("gpu0",) * 10, output="gpu0", split="tensor",
        shares=(0.5, 0.5),
    )  # fmt: skip
    table = costs(shape, RUN, site, IDEAL)
    speed = speed_of(table, cut)
    expected = (500e6 + 10 * 1024) / 2 / (1000 * GB) + 20 * table.crossing.decode + STEP
    assert seconds(speed.decode) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("homes", "experts", "output", "splits"),
    [
        ("hhhh", "", "h", 1),
        ("0000", "", "0", 2),
        ("0011", "", "1", 3),
        ("hh00", "", "0", 2),
        ("0000", "hhhh", "0", 10),
        ("0000", "hh00", "0", 6),
    ],
)  # fmt: skip
def test_graph_splits(homes: str, experts: str, output: str, splits: int) -> None:
    assert splits_of(laid(dense(4), homes, experts, output)) == splits


def test_figures_that_are_missing_are_guessed_and_widen_the_interval() -> None:
    shape = dense()
    known = speed_of(costs(shape, RUN, machine(), IDEAL), whole(shape, HOST)).decode
    guessed = speed_of(costs(shape, RUN, machine(memory=host(None)), IDEAL), whole(shape, HOST)).decode
    assert known.high / known.value == pytest.approx(1.2)
    assert guessed.high / guessed.value == pytest.approx(1.5)


def test_fewer_threads_compute_less() -> None:
    shape, site = dense(), machine()
    all_, half, one = (
        speed_of(costs(shape, msgspec.structs.replace(RUN, threads=count), site, IDEAL), whole(shape, HOST))
        for count in (8, 4, 1)
    )
    assert all_.prefill.value > 1.9 * half.prefill.value
    assert all_.decode.value == pytest.approx(half.decode.value, rel=0.01)  # the memory is the limit of both
    assert one.decode.value < 0.5 * all_.decode.value


@given(
    depth=st.integers(0, 10**6),
    on_host=st.integers(0, 10),
    ubatch=st.integers(1, 4096),
    threads=st.integers(1, 64),
)
def test_predictions_are_finite_positive_and_inside_their_intervals(
    depth: int, on_host: int, ubatch: int, threads: int
) -> None:
    shape = mixture()
    run = Run(context=10**6, ubatch=ubatch, threads=threads)
    layout = laid(shape, "0" * 10, "h" * on_host + "0" * (10 - on_host))
    speed = speed_of(costs(shape, run, machine(gpu()), PRIORS, depth), layout)
    for each in (speed.decode, speed.prefill):
        assert 0 <= each.low < each.value < each.high < float("inf")
    assert sum(speed.shares.values()) <= 1


@given(first=st.integers(0, 200_000), second=st.integers(0, 200_000))
def test_deeper_is_never_faster(first: int, second: int) -> None:
    shape, site = dense(), machine(gpu())
    near, far = (
        speed_of(costs(shape, RUN, site, PRIORS, depth), whole(shape, "gpu0")) for depth in sorted((first, second))
    )
    assert far.decode.value <= near.decode.value
    assert far.prefill.value <= near.prefill.value


@pytest.mark.parametrize(("measured", "short"), [(100.0, None), (76.0, None), (74.0, 0.26), (40.0, 0.6), (0.0, 1.0)])
def test_a_shortfall_is_more_than_a_quarter_below_the_prediction(measured: float, short: float | None) -> None:
    expected = None if short is None else pytest.approx(short)
    assert shortfall(Range(80.0, 100.0, 120.0), measured) == expected


def test_an_expert_with_few_tokens_costs_no_more_than_a_tile() -> None:
    shape, site = mixture(), machine(gpu())
    half, few = (
        costs(shape, msgspec.structs.replace(RUN, ubatch=size), site, PRIORS).experts["gpu0"][0].prefill
        for size in (128, 64)
    )
    # 16 and 8 tokens per expert: arithmetic per token is the same, only the weights are read twice as often.
    assert few < 2 * half
