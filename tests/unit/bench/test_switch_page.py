"""What the benchmark of switches writes."""

from __future__ import annotations

from hostler.bench.switch_page import Figure, Report, section


def report(ours_s: float, router_s: float | None = None) -> Report:
    ways = {"bare": 1.0, "ours": ours_s} | ({} if router_s is None else {"router": router_s})
    figures = tuple(Figure.of("embedded", way, "m", [seconds, seconds, 2 * seconds]) for way, seconds in ways.items())
    return Report(at=0.0, machine="m", python="3", engine="e", command="a command", load=0.5, figures=figures)


def test_the_middle_counts_and_the_goal_is_told() -> None:
    page = section(report(1.1))
    assert "| embedded | m | bare | 1000 ms | 2000 ms | 2000 ms |  |  |  |" in page
    assert "| embedded | m | ours | 1100 ms | 2200 ms | 2200 ms | +100 ms | <= 1150 ms | met |" in page


def test_a_goal_that_is_missed_is_told() -> None:
    assert "| <= 1150 ms | **missed** |" in section(report(1.2))


def test_the_router_is_a_goal_too() -> None:
    assert "| <= 1050 ms | **missed** |" in section(report(1.1, router_s=1.05))
