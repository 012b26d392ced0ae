"""The first answers against the plan, and the cause when they fall short."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from hostler.fleet.learning.conditions import conditions
from hostler.fleet.learning.pace import Circumstances, Condition, Pace, likely_cause
from hostler.fleet.memory import DeviceReading
from hostler.fleet.protocol import Timing
from hostler.placement.bytes import Classes
from hostler.placement.layout import whole
from hostler.placement.plan import Plan
from hostler.placement.speed import Range, Speed
from hostler.placement.wish import Wish
from hostler.testing.specs import SHAPE, on_host
from hostler.wire.hardware import DeviceMetrics, Metrics, Reading

MIB, GIB = 2**20, 2**30


def _speed(depth: int, decode: float, prefill: float) -> Speed:
    def around(value: float) -> Range:
        return Range(value * 0.8, value, value * 1.2)

    return Speed(depth=depth, decode=around(decode), prefill=around(prefill), splits=1, bound="host", shares={})


PLAN = replace(on_host(Wish(context=8192, ubatch=256)), speeds=(_speed(0, 100.0, 1000.0), _speed(8000, 50.0, 500.0)))
ON_GPU = replace(PLAN, layout=whole(SHAPE, "gpu0"), bytes={"gpu0": Classes(weights=GIB), "host": Classes(runtime=GIB)})


def _timing(decode: float = 100.0, prefill: float = 1000.0, *, prompt: int = 300, cached: int = 0) -> Timing:
    """An answer of 33 tokens; the clock starts with the first."""
    return Timing(cached, prompt, 1e3 * prompt / prefill, 33, 1e3 * 32 / decode)


def _pace(*timings: Timing, plan: Plan = PLAN) -> Pace:
    pace = Pace(plan)
    for timing in timings:
        pace.add(timing)
    return pace


def test_the_third_answer_is_enough_and_a_fourth_of_no_interest() -> None:
    pace = Pace(PLAN)
    assert [pace.add(_timing()) for _ in range(4)] == [False, False, True, False]
    assert len(pace.timings) == 3


def test_short_answers_and_answers_without_time_say_nothing() -> None:
    pace = Pace(PLAN)
    assert not pace.add(Timing(0, 300, 100.0, 15, 100.0))
    assert not pace.add(Timing(0, 300, 100.0, 40, 0.0))
    assert pace.timings == []


def test_as_predicted_is_not_slow() -> None:
    assert _pace(*[_timing(decode=80.0, prefill=800.0)] * 3).slow() is None


def test_the_middle_answer_counts() -> None:
    assert _pace(_timing(10.0), _timing(95.0), _timing(95.0)).slow() is None
    slow = _pace(_timing(95.0), _timing(60.0), _timing(50.0)).slow()
    assert slow is not None
    assert (slow.phase, round(slow.measured), slow.depth) == ("decode", 60, 316)
    assert 95 < slow.predicted < 100


def test_what_is_predicted_depends_on_the_depth() -> None:
    deep = _timing(decode=55.0, prefill=550.0, cached=7000)
    assert _pace(deep, deep, deep).slow() is None
    beyond = _timing(decode=48.0, prefill=480.0, cached=20_000)
    assert _pace(beyond, beyond, beyond).slow() is None


def test_prompts_are_compared_when_they_fill_a_ubatch() -> None:
    slow = _pace(*[_timing(prefill=100.0)] * 3).slow()
    assert slow is not None
    assert (slow.phase, slow.depth) == ("prefill", 150)
    assert _pace(*[_timing(prefill=100.0, prompt=200)] * 3).slow() is None
    assert _pace(_timing(prefill=100.0), _timing(prompt=10), _timing(prompt=10)).slow() is None


def test_a_plan_without_speeds_promises_nothing() -> None:
    assert _pace(*[_timing(1.0)] * 3, plan=replace(PLAN, speeds=())).slow() is None


IDLE = Condition(total=24 * GIB, free=2 * GIB, foreign=0, utilisation=1.0)


def _seen(now: Condition, *, before: Condition = IDLE, held: int = 0, busy: bool = False) -> tuple[str, str]:
    return likely_cause(
        Circumstances(plan=ON_GPU, held={"host": held}, before={"gpu0": before}, now={"gpu0": now}, busy=busy)
    )


@pytest.mark.parametrize(
    ("now", "cause", "says"),
    [
        (replace(IDLE, free=10 * MIB), "spill", "gpu0 is full"),
        (replace(IDLE, throttling=("thermal limit", "power")), "throttled", "gpu0 throttles: thermal limit, power"),
        (replace(IDLE, foreign=GIB), "other process", "took 1.0 GiB more of gpu0"),
        (replace(IDLE, utilisation=90.0), "other process", "other programs use gpu0 (90%)"),
        (IDLE, "unknown", "no cause"),
        (Condition(), "unknown", "no cause"),
    ],
)
def test_the_likely_cause(now: Condition, cause: str, says: str) -> None:
    found, text = _seen(now)
    assert found == cause
    assert says in text


def test_more_in_main_memory_than_planned_is_a_spill() -> None:
    cause, text = _seen(IDLE, held=3 * GIB)
    assert cause == "spill"
    assert "3.0 GiB of main memory, 1.0 GiB were planned" in text
    assert _seen(IDLE, held=GIB + 100 * MIB)[0] == "unknown"


def test_what_devices_do_while_requests_run_says_nothing_of_others() -> None:
    assert _seen(replace(IDLE, utilisation=90.0), busy=True)[0] == "unknown"


def test_what_others_held_already_is_no_news() -> None:
    foreign = replace(IDLE, foreign=5 * GIB)
    assert _seen(foreign, before=foreign)[0] == "unknown"
    assert _seen(foreign, before=Condition())[0] == "unknown"


def test_a_device_whose_driver_is_lost_is_only_unknown() -> None:
    lost = DeviceMetrics(
        device="gpu0", kind="nvidia", name="card", total=24 * GIB, present=False, reason="GPU is lost",
        now=Reading(at=1.0, utilisation=99.0, throttling=("thermal limit",)),
    )  # fmt: skip
    host = DeviceMetrics(
        device="host", kind="host", name="cpu", total=GIB, present=True, now=Reading(at=1.0, utilisation=5.0)
    )
    found = conditions(
        Metrics(interval_s=1.0, kept_s=900.0, devices=(lost, host)), {"host": DeviceReading(GIB, GIB // 2, GIB // 4)}
    )
    assert "gpu0" not in found
    assert found["host"] == Condition(total=GIB, free=GIB // 2, foreign=GIB // 4, utilisation=5.0)
    assert likely_cause(Circumstances(plan=ON_GPU, held={}, before={}, now=found))[0] == "unknown"


def test_a_driver_that_does_not_tell_whose_memory_it_is() -> None:
    found = conditions(Metrics(interval_s=1.0, kept_s=1.0, devices=()), {"gpu0": DeviceReading(GIB, GIB, None)})
    assert found["gpu0"].foreign is None
