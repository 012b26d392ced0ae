"""What `hostler pull` says of the variants of a model on a machine, from their headers."""

from __future__ import annotations

from pathlib import Path

import pytest

from hostler.cli.fitting import Fitting, Outlook, outlook
from hostler.cli.plan_site import described
from hostler.hardware.machines import load
from hostler.models.gguf import read_model
from hostler.models.remote import RemoteModel
from hostler.models.variants import RemoteFile, Variant
from hostler.testing.published import Published
from hostler.testing.zoo import GLM_4_7_FLASH, GPT_OSS_120B, LLAMA_3_1_8B

GIB = 2**30


def header(folder: Path, model: Published, recipe: str) -> tuple[Variant, RemoteModel]:
    path = model.write(folder, recipe)
    facts, shape = read_model([path])
    size = path.stat().st_size
    return Variant(recipe, (RemoteFile(path.name, size),)), RemoteModel(
        urls=("http://127.0.0.1/x",), facts=facts, shape=shape, size=size, fetched=1
    )


def told(folder: Path, model: Published, recipe: str, machine: str) -> Outlook:
    variant, found = header(folder, model, recipe)
    return outlook(variant, {recipe: found}, described(load(machine)))


@pytest.mark.parametrize(
    ("model", "recipe", "machine", "words"),
    [
        (GLM_4_7_FLASH, "Q4_K_M", "rtx4090-5070ti", "on gpu0"),
        (GLM_4_7_FLASH, "Q8_0", "rtx4090-5070ti", "on gpu0 and gpu1"),
        (GPT_OSS_120B, "MXFP4", "rtx4090-5070ti", "spills "),
        (GPT_OSS_120B, "MXFP4", "m4-max-64gb", "does not fit, by "),
        (LLAMA_3_1_8B, "Q4_K_M", "cpu-2core", "in main memory"),
    ],
)
def test_a_variant_in_a_few_words(tmp_path: Path, model: Published, recipe: str, machine: str, words: str) -> None:
    found = told(tmp_path, model, recipe, machine)
    assert found.words().startswith(words)
    assert (found.spilled > 0) == words.startswith("spills")
    assert (found.over > 0) == words.startswith("does not fit")


def test_memory_that_is_shared_counts_once_in_what_is_missing(tmp_path: Path) -> None:
    found = told(tmp_path, GPT_OSS_120B, "MXFP4", "m4-max-64gb")
    room = described(load("m4-max-64gb")).site.rooms["host"].available
    assert found.over == found.need["host"] - room
    assert 5 * GIB < found.over < 10 * GIB


def test_one_header_stands_for_other_variants_by_their_size(tmp_path: Path) -> None:
    small, header_of_small = header(tmp_path, GLM_4_7_FLASH, "Q4_K_M")
    large, header_of_large = header(tmp_path, GLM_4_7_FLASH, "Q8_0")
    where = described(load("rtx4090-5070ti"))
    guessed = outlook(large, {small.label: header_of_small}, where)
    known = outlook(large, {large.label: header_of_large}, where)
    assert guessed.about
    assert not known.about
    assert abs(sum(guessed.need.values()) / sum(known.need.values()) - 1) < 0.03
    assert guessed.words() == known.words()


def test_a_sentence_on_the_chosen_one(tmp_path: Path) -> None:
    variant, found = header(tmp_path, GLM_4_7_FLASH, "Q4_K_M")
    fits = Fitting({variant.label: outlook(variant, {variant.label: found}, described(load("rtx4090-5070ti")))})
    assert fits.words(variant).startswith("fits: on gpu0, about ")
    small = Fitting({variant.label: outlook(variant, {variant.label: found}, described(load("m2-16gb")))})
    assert small.words(variant).startswith("does NOT fit: needs about ")
    assert Fitting({}).words(variant) == ""
