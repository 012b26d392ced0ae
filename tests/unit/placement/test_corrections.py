"""What loads teach about the next plan."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as some

from hostler.hardware.facts import Kind
from hostler.placement.bytes import Classes
from hostler.placement.corrections import (
    LEAST,
    MOST,
    NONE,
    REMEMBERED,
    Corrections,
    Learnt,
    Residual,
    compared,
    faults,
    learn,
)

MIB = 2**20
PREDICTED = {
    "host": Classes(weights=10 * MIB, mapped=50 * MIB, compute=20 * MIB, runtime=80 * MIB),
    "GPU-1": Classes(weights=400 * MIB, kv=64 * MIB, compute=100 * MIB),
}
KINDS: dict[str, Kind] = {"host": "host", "GPU-1": "nvidia"}


def load(compute: float) -> tuple[Residual, ...]:
    """A load after which the card reported ``compute`` MiB."""
    return compared(PREDICTED, {"GPU-1": {"compute": compute}}, KINDS)


def test_the_worst_of_the_latest_loads_counts() -> None:
    known = learn(learn(NONE, load(120)), load(110))
    assert known.applied("nvidia", PREDICTED["GPU-1"]).compute == 120 * MIB
    for _ in range(REMEMBERED):
        known = learn(known, load(105))
    assert known.applied("nvidia", PREDICTED["GPU-1"]).compute == 105 * MIB


def test_only_that_class_on_that_kind_of_device_changes() -> None:
    known = learn(NONE, load(150))
    card = PREDICTED["GPU-1"]
    assert known.applied("nvidia", card) == msgspec.structs.replace(card, compute=150 * MIB)
    assert known.applied("host", PREDICTED["host"]) == PREDICTED["host"]
    assert known.applied("amd", card) == card


def test_of_two_cards_of_a_kind_the_worse_counts() -> None:
    predicted = {**PREDICTED, "GPU-2": PREDICTED["GPU-1"]}
    reported: dict[str, dict[Learnt, float]] = {"GPU-1": {"compute": 90}, "GPU-2": {"compute": 130}}
    known = learn(NONE, compared(predicted, reported, {**KINDS, "GPU-2": "nvidia"}))
    assert known.applied("nvidia", PREDICTED["GPU-1"]).compute == 130 * MIB


def test_exact_classes_are_never_corrected_but_reported_as_faults() -> None:
    reported: dict[str, dict[Learnt, float]] = {
        "host": {"weights": 60.4},
        "GPU-1": {"weights": 400.9, "kv": 96.0, "compute": 300.0},
        "GPU-9": {"kv": 5.0},
    }
    residuals = compared(PREDICTED, reported, KINDS)
    assert faults(residuals) == ("kv on GPU-1: 64 MiB predicted, 96 MiB reported",)
    corrected = learn(NONE, residuals).applied("nvidia", PREDICTED["GPU-1"])
    assert (corrected.kv, corrected.weights) == (64 * MIB, 400 * MIB)


def test_weights_on_the_host_may_be_reported_by_range_and_once_more_repacked() -> None:
    """More than was predicted says nothing, less does."""
    assert compared(PREDICTED, {"host": {"weights": 900.0}}, KINDS) == ()
    residuals = compared(PREDICTED, {"host": {"weights": 40.0}}, KINDS)
    assert faults(residuals) == ("weights on host: 60 MiB predicted, 40 MiB reported",)


def test_what_was_predicted_as_nothing_teaches_nothing() -> None:
    assert learn(NONE, compared(PREDICTED, {"host": {"output": 3.0}}, KINDS)) == NONE


@given(some.lists(some.floats(0, 1e6), max_size=12))
def test_a_correction_is_bounded_and_survives_being_stored(reports: list[float]) -> None:
    known = NONE
    for mib in reports:
        known = learn(known, load(mib))
    corrected = known.applied("nvidia", PREDICTED["GPU-1"]).compute / (100 * MIB)
    assert (LEAST <= corrected <= MOST) if reports else corrected == pytest.approx(1)
    assert msgspec.json.decode(msgspec.json.encode(known), type=Corrections) == known
