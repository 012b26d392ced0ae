"""What the benchmark of speed writes."""

from __future__ import annotations

from hostler.bench.placement_speed import Against, Figure, Pair, Row, Run, Speeds, section


def run(*off: float) -> Run:
    rows = tuple(
        Row(depth, Against(100.0, 90.0, 100.0 * (1 + part), 110.0), Against(500.0, 450.0, 500.0, 550.0))
        for depth, part in zip((0, 2048, 6144), off, strict=True)
    )
    return Run(profile="smollm2", architecture="llama", quantisation="Q4_1", build="a build", rows=rows)


def speeds(*pairs: Pair) -> Speeds:
    return Speeds(
        at=0.0, command="a command", processor="a processor", memory=Figure(34.4e9, "measured: 2 cores"), pairs=pairs
    )


def test_the_page_tells_the_check_and_how_far_off_it_is_at_most() -> None:
    pair = Pair(round=1, learnt=run(0.0, 0.0, 0.0), checked=run(0.01, -0.08, 0.02))
    page = section(speeds(pair))
    assert "Furthest off: 8.0%" in page
    assert "memory 34.4 GB/s (measured: 2 cores); a build; 1 round\n" in page
    assert (
        "| smollm2 Q4_1 | 2048 | 100.0 | 92.0 (90.0 to 110.0) | -8.0% | 500.0 | 500.0 (450.0 to 550.0) | +0.0% |"
        in page
    )
    assert page.count("\n| smollm2") == 3


def test_rounds_are_told_apart() -> None:
    pairs = [Pair(round=number, learnt=run(0, 0, 0), checked=run(0, 0, 0)) for number in (1, 2)]
    page = section(speeds(*pairs))
    assert "smollm2 Q4_1, round 2" in page
    assert "2 rounds" in page
