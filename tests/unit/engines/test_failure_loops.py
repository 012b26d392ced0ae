"""Failures in a row: longer pauses, then none that ends by itself."""

from __future__ import annotations

from hostler.engines.state import LOOP, Failure, after_failure
from hostler.errors import EngineLost, LoadFailed


def _row(count: int, *, loading: bool) -> list[Failure]:
    failure, found = None, []
    for _ in range(count):
        error = LoadFailed("It ended.") if loading else EngineLost("It ended.")
        failure = after_failure(failure, error, 100.0, tries=3, backoff_s=2.0, loading=loading)
        found.append(failure)
    return found


def test_loads_that_fail_pause_longer_and_then_for_good() -> None:
    assert [each.until for each in _row(4, loading=True)] == [102.0, 104.0, None, None]


def test_one_request_that_kills_its_engine_does_not_end_its_profile() -> None:
    pauses = [each.until for each in _row(3, loading=False)]
    assert pauses == [100.0, 102.0, 104.0]


def test_crashes_that_no_answer_interrupts_are_a_loop_in_the_end() -> None:
    found = _row(LOOP * 3, loading=False)
    assert found[-1].until is None
    assert all(each.until is not None for each in found[:-1])
