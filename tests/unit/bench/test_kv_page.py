"""The section that `make bench-kv` writes: medians of both kinds of rounds, and whether the goal is met."""

from __future__ import annotations

import pytest

from hostler.bench.kv import Report, Round, Turn, section


def report(kept_s: float) -> Report:
    first = Turn(20.0, 0, 4000, "")
    kept = [Round(1.0, 0.4, first, Turn(next_s, 4010, 14, "")) for next_s in (kept_s, 9.0, kept_s / 2)]
    unkept = [Round(1.0, 0.4, first, Turn(20.0, 0, 4024, ""))]
    return Report(machine="a machine", kept=kept, unkept=unkept)


@pytest.mark.parametrize(("kept_s", "said"), [(1.0, "**0.050**, goal: at most 0.05: met."), (1.1, "**missed**")])
def test_the_verdict_is_the_ratio_of_medians(kept_s: float, said: str) -> None:
    assert said in section(report(kept_s))


def test_both_kinds_have_a_row() -> None:
    rows = [line for line in section(report(1.0)).splitlines() if line.startswith(("| kept", "| not kept"))]
    assert rows == [
        "| kept | 20.00 s | 1.00 s | 0.40 s | 1.00 s | 4010 | 14 |",
        "| not kept | 20.00 s | 1.00 s | 0.40 s | 20.00 s | 0 | 4024 |",
    ]
