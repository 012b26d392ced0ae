"""Which files of a repository make a variant, and which one a person means."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostler.errors import DownloadFailed
from hostler.models.variants import RemoteFile, choose, label_of, projector, split, usual


@pytest.mark.parametrize(
    ("path", "label"),
    [
        ("Qwen3-8B-Q4_K_M.gguf", "Q4_K_M"),
        ("UD-Q5_K_XL/Qwen3-80B-UD-Q5_K_XL-00001-of-00002.gguf", "UD-Q5_K_XL"),
        ("gpt-oss-120b-mxfp4-00001-of-00003.gguf", "MXFP4"),
        ("gpt-oss-120b-MXFP4_MOE.gguf", "MXFP4_MOE"),
        ("model-IQ2_XXS.gguf", "IQ2_XXS"),
        ("model.IQ4_NL.gguf", "IQ4_NL"),
        ("Llama-3.2-1B-BF16.gguf", "BF16"),
        ("BF16/part.gguf", "BF16"),
        ("stories15M.gguf", "stories15M"),
        ("gemma-3-270m-q4_0.gguf", "Q4_0"),
    ],
)
def test_labels(path: str, label: str) -> None:
    assert label_of(path) == label


def files(*named: tuple[str, int]) -> list[RemoteFile]:
    return [RemoteFile(path, size) for path, size in named]


SOME = files(
    ("m-Q8_0.gguf", 80), ("m-Q4_K_M.gguf", 40), ("m-UD-Q4_K_XL.gguf", 42), ("m-Q5_K_S.gguf", 50),
    ("m-BF16-00002-of-00002.gguf", 70), ("m-BF16-00001-of-00002.gguf", 90), ("m-F32-00001-of-00003.gguf", 1),
    ("mmproj-BF16.gguf", 3), ("mmproj-F16.gguf", 3), ("README.md", 1), ("imatrix.dat", 9),
)  # fmt: skip


def test_variants_are_whole_and_sorted_by_size() -> None:
    variants, projectors = split(SOME)
    assert [v.label for v in variants] == ["Q4_K_M", "UD-Q4_K_XL", "Q5_K_S", "Q8_0", "BF16"]
    assert [file.name for file in variants[-1].files] == ["m-BF16-00001-of-00002.gguf", "m-BF16-00002-of-00002.gguf"]
    assert variants[-1].size == 160
    chosen = projector(projectors)
    assert chosen is not None
    assert chosen.path == "mmproj-F16.gguf"


@pytest.mark.parametrize(
    ("asked", "got"),
    [
        ("Q4_K_M", "Q4_K_M"), ("q4km", "Q4_K_M"), ("Q4", "Q4_K_M"), ("q5_k_m", "Q5_K_S"), ("Q5", "Q5_K_S"),
        ("q4_k_xl", "UD-Q4_K_XL"), ("bf16", "BF16"), ("Q8", "Q8_0"),
    ],
)  # fmt: skip
def test_the_nearest_is_meant(asked: str, got: str) -> None:
    assert choose(split(SOME)[0], asked).label == got


def test_what_is_near_nothing_is_refused_with_the_list() -> None:
    with pytest.raises(DownloadFailed) as caught:
        choose(split(SOME)[0], "banana")
    assert "Q4_K_M, UD-Q4_K_XL" in caught.value.hint


def test_the_usual_one() -> None:
    variants, _ = split(SOME)
    assert usual(variants) == variants[0]
    assert usual(variants[1:]) is None
    assert usual(variants[3:4]) == variants[3]


def test_two_models_in_one_repository_are_told_apart() -> None:
    variants, _ = split(files(("small-Q4_0.gguf", 1), ("large-Q4_0.gguf", 2)))
    assert [variant.label for variant in variants] == ["small-Q4_0", "large-Q4_0"]


@given(st.lists(st.text(max_size=30), max_size=12), st.text(max_size=12))
def test_no_listing_breaks_it(names: list[str], asked: str) -> None:
    variants, projectors = split([RemoteFile(f"{name}.gguf", 1) for name in names])
    projector(projectors)
    usual(variants)
    with contextlib.suppress(DownloadFailed):
        assert choose(variants, asked) in variants
