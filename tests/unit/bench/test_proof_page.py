"""The section that shows what the fleet promises."""

from __future__ import annotations

import msgspec

from hostler.bench.proof.kills import Compared, Kills, Recovered, ratios_of
from hostler.bench.proof.page import Proof, Run, section
from hostler.bench.proof.soak import Point, Soak, floor_grown
from hostler.bench.proof.stop import Stopped
from hostler.conformance.report import Seen, StormReport, Violation, Waits

MIB = 2**20
SEEN = Seen(
    loads=40, longest_load_s=1.0, swaps=38, kills=0, failures=0, reloads=0, double_loads=0, over_budget=0, looks=900,
    missed_events=0, peak={"host": 600 * MIB}, ceilings={"host": 640 * MIB},
    waits=Waits(count=300, p50_s=0.5, p95_s=4.0, longest_s=9.0, bound_s=30.0),
)  # fmt: skip
STORM = StormReport(
    seed=1, clients=32, requests=5000, profiles=("a", "b", "c", "d"), seconds=200.0,
    fates={"answered": 4000, "refused": 0, "left": 1000, "cut": 0, "broken": 0}, refusals={}, tokens=20000,
    violations=(), seen=SEEN,
)  # fmt: skip
SOAK = Soak(
    switches=2000, loads=2000, double_loads=0, failed=(), seconds=500.0, grown_mib=1.25, files_grown=0,
    left=(), ended=0,
    points=tuple(Point(switches=50 * n, rss_mib=70 + n / 100, files=30, threads=5, children=3) for n in range(1, 41)),
)  # fmt: skip
NEAR = Compared(p50=1.0, p95=1.3, normal_p95=1.1, medians={"a": 0.5})
KILLS = Kills(
    kills=100, requests=900, fates={"answered": 890, "cut": 10}, refusals={}, violations=(), ready=NEAR, asked=NEAR,
    unanswered=0, seconds=90.0, left=(), recoveries=(),
)  # fmt: skip
STOP = Stopped(rounds=5, running=20, finished=20, waiting=80, refused=80, ended=(0,) * 5)
RUN = Run(at=0.0, machine="2 CPUs, Linux", python="3.11", command="make proof PARTS=storm", load=1.0)


def test_every_promise_has_a_row_and_what_was_run_is_told() -> None:
    shown = section(Proof(storm=STORM, soak=SOAK, kills=KILLS, stop=STOP, runs={"storm": RUN}))
    assert shown.count("| met |") == 12
    assert "missed" not in shown
    assert "5,000 requests, 32 clients, 4 profiles" in shown
    assert "| resident MiB | 70.0 |" in shown
    assert "- storm: `make proof PARTS=storm`; 2 CPUs, Linux, load average 1.0; Python 3.11; 1970-01-01" in shown


def test_what_was_missed_is_said() -> None:
    lost = msgspec.structs.replace(STORM, violations=(Violation(kind="lost", what="no end within 300 s"),))
    grown = msgspec.structs.replace(SOAK, grown_mib=5.5, left=("llama-server",))
    slow = msgspec.structs.replace(KILLS, ready=msgspec.structs.replace(NEAR, p95=1.6))
    cut = msgspec.structs.replace(STOP, finished=19)
    assert section(Proof(storm=lost, soak=grown, kills=slow, stop=cut)).count("**missed**") == 5


def test_a_recovery_is_compared_with_the_loads_of_its_profile_that_are_near() -> None:
    def took(profile: str, at: float, seconds: float) -> Recovered:
        return Recovered(profile=profile, state="ready", ready=seconds, asked=seconds + 1, answered=True, at=at)

    def ready(one: Recovered) -> float:
        return one.ready

    early, late = [took("a", at, 1.0) for at in range(9)], [took("a", 100.0 + at, 2.0) for at in range(9)]
    normal = [*early, *late, took("b", 0.0, 9.0)]
    assert ratios_of([took("a", 3.0, 1.5), took("a", 104.0, 1.5)], normal, ready) == [1.5, 0.75]
    assert ratios_of(normal, normal, ready) == [1.0] * 18  # a single one of its profile is compared with nothing


def test_files_that_are_never_closed_lift_the_floor() -> None:
    def seen(*files: int) -> list[Point]:
        return [Point(switches=at, rss_mib=70.0, files=count, threads=5, children=3) for at, count in enumerate(files)]

    assert floor_grown(seen(29, 35, 32, 35, 29, 36)) == 0
    assert floor_grown(seen(29, 35, 32, 36, 30, 37)) == 1
    assert floor_grown(seen(30)) == 0


def test_parts_that_were_not_run_have_no_rows() -> None:
    assert section(Proof(stop=STOP)).count("| met |") == 2
    assert msgspec.json.decode(msgspec.json.encode(Proof(stop=STOP)), type=Proof) == Proof(stop=STOP)
