"""What was measured corrects what is planned."""

from __future__ import annotations

from hostler.fleet.preparing import within_margin
from hostler.placement.wish import Room

GIB = 2**30
MIB = 2**20
CARD = Room(device="gpu0", total=24 * GIB, available=23 * GIB, margin=128 * MIB)


def test_what_was_measured_counts() -> None:
    assert within_margin(20 * GIB, CARD) == 20 * GIB
    assert within_margin(23 * GIB + 65 * MIB, CARD) == 23 * GIB + 65 * MIB
    assert within_margin(23 * GIB + 65 * MIB, None) == 23 * GIB + 65 * MIB


def test_a_model_that_fills_its_card_is_loaded_again() -> None:
    """What it held the first time was a little more than was planned, and the second load was refused for that."""
    assert within_margin(23 * GIB + 60 * MIB, CARD) == 23 * GIB
