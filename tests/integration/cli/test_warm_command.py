"""`hostler warm` against a gateway that answers from the wire structs."""

from __future__ import annotations

import msgspec
from cli_run import Run
from fake_gateway import WARMED, FakeGateway

from hostler.wire.warming import WarmBenchmark, WarmUp


def test_profiles_are_warmed_one_after_the_other(gateway: FakeGateway, run: Run) -> None:
    done = run("warm", "tiny", "gemma3-270m")
    assert done.exit_code == 0, done.output
    smollm2, gemma = done.stdout.splitlines()
    assert smollm2 == "smollm2 is warm: loaded in 0.38 s, a few tokens took 0.05 s, 85 tokens/s."
    assert gemma.startswith("gemma3-270m is warm")
    posted = [path for method, path in gateway.asked if method == "POST"]
    assert posted == ["/api/models/warmup/tiny", "/api/models/warmup/gemma3-270m"]


def test_behind_does_not_wait_and_alone_it_tells_how_it_went(gateway: FakeGateway, run: Run) -> None:
    assert run("warm").stdout.startswith("Nothing was warmed")
    assert run("warm", "smollm2", "--behind").stdout == "smollm2 is being warmed.\n"
    gateway.warm_ups = [
        msgspec.structs.replace(WARMED, loaded=False, tokens_per_s=None),
        WarmUp(profile="big", state="failed", at=1.0, reason="It fits nowhere.", code="never_fits"),
    ]
    warm, failed = run("warm").stdout.splitlines()
    assert warm == "smollm2 is warm: it was loaded already, a few tokens took 0.05 s."
    assert failed == "big could not be warmed: It fits nowhere."


def test_cold_and_warm_side_by_side(gateway: FakeGateway, run: Run) -> None:
    done = run("warm", "smollm2", "--benchmark")
    assert done.exit_code == 0, done.output
    heading, cold, warm = (" ".join(line.split()) for line in done.stdout.splitlines())
    assert heading == "PROFILE SIZE FROM LOAD ANSWER TOK/S"
    assert cold == "smollm2 98.0 MiB the disk 0.84 s 0.06 s 81"
    assert warm == "memory 0.38 s 0.05 s 85"


def test_for_programs(gateway: FakeGateway, run: Run) -> None:
    (told,) = msgspec.json.decode(run("warm", "smollm2", "--json").stdout, type=list[WarmUp])
    assert told == WARMED
    (compared,) = msgspec.json.decode(run("warm", "smollm2", "--benchmark", "--json").stdout, type=list[WarmBenchmark])
    assert (compared.cold.load_s, compared.warm.load_s) == (0.84, 0.38)


def test_what_cannot_be_meant_is_told(gateway: FakeGateway, run: Run) -> None:
    assert "exclude each other" in run("warm", "smollm2", "--benchmark", "--behind").stderr
    assert "needs a profile" in run("warm", "--benchmark").stderr
    unknown = run("warm", "nobody")
    assert unknown.exit_code == 1
    assert "nobody" in unknown.stderr
