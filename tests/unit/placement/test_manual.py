"""Layouts of placing flags, as llama.cpp's loader makes them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from planning import GIB, mixture

from hostler.placement.layout import HOST
from hostler.placement.manual import Manual, Moved, first_experts, layout_of, notes_of

SHAPE = mixture(layers=8)
TWO = ("gpu0", "gpu1")
ROOM = {"gpu0": 24 * GIB, "gpu1": 8 * GIB}


def test_without_flags_everything_goes_to_the_cards_by_what_is_free_there() -> None:
    layout = layout_of(Manual(), SHAPE, TWO, ROOM)

    # Nine with the output; shares 3/4 and 1/4: blocks 0 to 6, then 7 and the output.
    assert layout.layers == ("gpu0",) * 7 + ("gpu1",)
    assert (layout.output, layout.split) == ("gpu1", "layer")


def test_the_last_blocks_go_to_the_card_and_the_output_counts_as_one() -> None:
    layout = layout_of(Manual(layers=3), SHAPE, ("gpu0",), ROOM)

    assert layout.layers == (HOST,) * 6 + ("gpu0",) * 2
    assert (layout.output, layout.split) == ("gpu0", "none")


@pytest.mark.parametrize("manual", [Manual(layers=0), Manual(gpus=()), Manual(split="none", main=-1)])
def test_nothing_on_a_card_is_a_run_on_the_host(manual: Manual) -> None:
    layout = layout_of(manual, SHAPE, TWO, ROOM)

    assert layout.gpus == ()
    assert {*layout.layers, *layout.experts, layout.output} == {HOST}


def test_shares_count_and_the_order_is_that_of_the_devices() -> None:
    layout = layout_of(Manual(gpus=("gpu1", "gpu0"), shares=(2, 1)), SHAPE, TWO, ROOM)

    assert layout.gpus == ("gpu1", "gpu0")
    assert layout.layers == ("gpu1",) * 6 + ("gpu0",) * 2


def test_split_mode_none_leaves_the_main_card() -> None:
    layout = layout_of(Manual(split="none", main=1), SHAPE, TWO, ROOM)

    assert layout.gpus == ("gpu1",)
    assert set(layout.layers) == {"gpu1"}


def test_a_model_cut_by_rows_is_counted_in_shares() -> None:
    layout = layout_of(Manual(split="row", shares=(3, 1)), SHAPE, TWO, ROOM)

    assert (layout.split, layout.shares) == ("tensor", (0.75, 0.25))
    assert any("rows" in note for note in notes_of(Manual(split="row")))


def test_experts_of_the_first_blocks_stay_on_the_host() -> None:
    layout = layout_of(Manual(moved=(first_experts(3),)), SHAPE, ("gpu0",), ROOM)

    assert layout.layers == ("gpu0",) * 8
    assert layout.experts == (HOST,) * 3 + ("gpu0",) * 5
    assert set(layout_of(Manual(moved=(first_experts(None),)), SHAPE, ("gpu0",), ROOM).experts) == {HOST}
    assert layout_of(Manual(moved=(first_experts(0),)), SHAPE, ("gpu0",), ROOM).experts == ("gpu0",) * 8


def test_the_first_pattern_that_finds_a_tensor_counts() -> None:
    moved = (Moved(r"blk\.0\.ffn_.*_exps", "gpu1"), first_experts(2))
    layout = layout_of(Manual(moved=moved, shares=(1, 0)), SHAPE, TWO, ROOM)

    assert layout.experts == ("gpu1", HOST, *("gpu0",) * 6)


def test_a_pattern_for_whole_blocks_moves_them() -> None:
    layout = layout_of(Manual(moved=(Moved(r"blk\.[0-3]\.", HOST),)), SHAPE, ("gpu0",), ROOM)

    assert layout.layers == layout.experts == (HOST,) * 4 + ("gpu0",) * 4


def test_what_is_not_predicted_is_said() -> None:
    odd = Moved(r"attn_norm", HOST)

    assert any("attn_norm" in note for note in notes_of(Manual(moved=(odd,))))
    assert not any("exps" in note for note in notes_of(Manual(moved=(first_experts(3),))))
    assert any("cache" in note for note in notes_of(Manual(cache_on_host=True)))


@given(
    layers=st.one_of(st.none(), st.integers(0, 20)),
    shares=st.lists(st.floats(0, 100), min_size=2, max_size=2).filter(lambda shares: sum(shares) > 0),
    split=st.sampled_from(["none", "layer", "row", "tensor"]),
)
def test_every_block_lies_on_a_device_that_computes(layers: int | None, shares: list[float], split: str) -> None:
    manual = Manual(layers=layers, shares=tuple(shares), split=split)
    layout = layout_of(manual, SHAPE, TWO, ROOM)

    assert {*layout.layers, *layout.experts, layout.output} <= {*layout.devices}
    assert len(layout.layers) == len(layout.experts) == 8
    on_cards = [home != HOST for home in (*layout.layers, layout.output)]
    assert on_cards == sorted(on_cards)
    assert sum(on_cards) == min(9 if layers is None else layers, 9)
