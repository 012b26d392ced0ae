"""What a few ordinary answers teach, and what they must not."""

from __future__ import annotations

from pathlib import Path

from msgspec.structs import replace

from hostler.engines.speed.efficiencies import keep, learnt
from hostler.fleet.learning.teaching import Teaching
from hostler.fleet.protocol import Timing
from hostler.placement.efficiency import PRIORS, Fitted, key_of
from hostler.testing.specs import MACHINE, SHAPE, SPEC

LOADED = replace(SPEC, build="b1")
KEY = key_of(SHAPE)


def _timing(share: float, prompt: int = 600) -> Timing:
    """An answer at that share of what the plan says of an empty cache."""
    speed = SPEC.plan.speeds[0]
    decode, prefill = share * speed.decode.value, share * speed.prefill.value
    return Timing(0, prompt, 1e3 * prompt / prefill, 33, 32e3 / decode)


def _teaching(cache: Path) -> Teaching:
    return Teaching(lambda _: SHAPE, lambda: MACHINE, cache)


def test_where_nothing_was_measured_the_first_answers_are_believed(tmp_path: Path) -> None:
    _teaching(tmp_path)(LOADED, [_timing(0.7)] * 3)
    found = learnt(tmp_path, MACHINE.fingerprint, "b1").of("host", "host", SHAPE)
    assert found.source.startswith("fitted")
    assert found.vector < PRIORS.priors["host"].vector
    assert found.prefill < PRIORS.priors["host"].prefill
    assert learnt(tmp_path, MACHINE.fingerprint, "b2") == PRIORS


def test_what_was_calibrated_stays(tmp_path: Path) -> None:
    exact = replace(PRIORS.priors["host"], decode=0.5, source="fitted: a calibration")
    calibrated = replace(PRIORS, fitted={"host": Fitted(whole=exact, of={KEY: exact})})
    keep(tmp_path, MACHINE.fingerprint, "b1", calibrated)
    _teaching(tmp_path)(LOADED, [_timing(0.7)] * 3)
    assert learnt(tmp_path, MACHINE.fingerprint, "b1") == calibrated


def test_another_model_is_added_to_those_that_are_known(tmp_path: Path) -> None:
    exact = replace(PRIORS.priors["host"], source="fitted: a calibration")
    known = replace(PRIORS, fitted={"host": Fitted(whole=exact, of={"gemma3 Q8_0": exact})})
    keep(tmp_path, MACHINE.fingerprint, "b1", known)
    _teaching(tmp_path)(LOADED, [_timing(0.7)] * 3)
    assert set(learnt(tmp_path, MACHINE.fingerprint, "b1").fitted["host"].of) == {"gemma3 Q8_0", KEY}


def test_short_prompts_say_nothing_of_long_ones(tmp_path: Path) -> None:
    _teaching(tmp_path)(LOADED, [_timing(0.7, prompt=100)] * 3)
    found = learnt(tmp_path, MACHINE.fingerprint, "b1").of("host", "host", SHAPE)
    assert found.vector < PRIORS.priors["host"].vector
    assert found.prefill == PRIORS.priors["host"].prefill


def test_a_cache_that_cannot_be_written_or_read_costs_nothing_but_the_lesson(tmp_path: Path) -> None:
    broken = tmp_path / "hardware"
    broken.write_text("a file where the folder should be")
    _teaching(tmp_path)(LOADED, [_timing(0.7)] * 3)
    assert learnt(tmp_path, MACHINE.fingerprint, "b1") == PRIORS
