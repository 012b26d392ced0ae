"""Figures of hang-ups against their goals."""

from __future__ import annotations

import pytest

from hostler.bench.hangup_page import Cost, Report, goal_of, section


def cost(phase: str, *taken: float, where: str = "gateway", slots: int = 1) -> Cost:
    return Cost.of(where, phase, slots, 0.01, taken)


@pytest.mark.parametrize(
    ("phase", "goal_s"),
    [("decode", 0.25), ("prefill", 2.2), ("non-stream decode", 1.5), ("non-stream prefill", 2.2)],
)
def test_each_phase_has_its_goal(phase: str, goal_s: float) -> None:
    assert goal_of(cost(phase, 0.1), batch_s=1.0) == pytest.approx(goal_s)


def test_the_section_says_which_goals_are_met() -> None:
    costs = (
        cost("decode", 0.05, 0.06),
        cost("non-stream decode", 1.0, 20.0, slots=2),
        cost("prefill", 1.0, where="engine"),
    )
    report = Report(
        at=0.0, machine="2 CPUs", python="3.11", engine="x", command="make x", load=0.5, batch_s=0.5, costs=costs
    )
    text = section(report)
    assert "| decode | none | 2 | 55 | 60 | 60 | 250 | met |" in text
    assert "| non-stream decode | 1 busy | 2 | 10,500 | 20,000 | 20,000 | 1,500 | missed |" in text
    assert text.index("**Through the gateway**") < text.index("**The engine alone**")
