"""The ladder after running out of memory: which rung comes next, that it ends, and what it says of itself."""

from __future__ import annotations

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from hostler.config.settings import EngineSettings, Profile, Rung
from hostler.fleet.recovery.ladder import LEAST_CONTEXT, LEAST_UBATCH, NONE, TIMES, TRIES, Changes, Tried, next_changes
from hostler.placement.bytes import Classes
from hostler.placement.wish import Room

MIB, GIB = 2**20, 2**30
ALL: tuple[Rung, ...] = ("ubatch", "kv", "host", "context", "evict")
TRIED = Tried(
    device="gpu0",
    missing=0,
    context=32768,
    ubatch=512,
    cache_k="f16",
    cache_v="f16",
    planned=Classes(weights=10 * GIB, kv=2 * GIB, compute=512 * MIB),
    movable=True,
    idle={"other": GIB},
    build="b1",
)


def _after(tried: Tried, changes: Changes) -> Tried:
    """The load with ``changes``, which ran out of memory too."""
    return replace(
        tried,
        ubatch=changes.ubatch or tried.ubatch,
        context=changes.context or tried.context,
        cache_k=changes.cache_k or tried.cache_k,
        cache_v=changes.cache_v or tried.cache_v,
        planned=replace(tried.planned, weights=max(0, changes.most.get(tried.device, tried.planned.total) - 3 * GIB)),
        idle={} if tried.device in changes.cleared else tried.idle,
    )


def _walk(tried: Tried, rungs: tuple[Rung, ...]) -> list[Changes]:
    walked: list[Changes] = []
    changes: Changes | None = NONE
    while (changes := next_changes(_after(tried, changes or NONE), rungs, changes or NONE)) is not None:
        walked.append(changes)
    return walked


def test_a_profile_that_never_ran_out_is_run_as_it_asks() -> None:
    profile = Profile(model="m", context="max", kv="auto")
    assert NONE.profile(profile) is profile
    rooms = {"gpu0": Room(device="gpu0", total=2, available=1)}
    assert NONE.rooms(rooms) == rooms
    assert NONE.words == ()


def test_the_ubatch_is_halved_down_to_its_least() -> None:
    walked = _walk(TRIED, ("ubatch",))
    assert [each.ubatch for each in walked] == [256, 128, 64]
    assert walked[0].steps[0].what == "ubatch 256 instead of 512"
    assert walked[-1].words == ("ubatch 64 instead of 512, after running out of memory on gpu0",)
    assert walked[-1].profile(Profile(model="m")).engine.ubatch == 64


def test_the_ubatch_of_a_run_that_answers_with_vectors_stays() -> None:
    assert next_changes(replace(TRIED, pooled=True), ("ubatch",), NONE) is None


def test_the_cache_gets_coarser_step_by_step() -> None:
    walked = _walk(TRIED, ("kv",))
    assert [(each.cache_k, each.cache_v) for each in walked] == [("q8_0", "q8_0"), ("q4_0", "q4_0")]
    asked = Profile(model="m", engine=EngineSettings(cache_type_k="f16"))
    changed = walked[0].profile(asked)
    assert (changed.kv, changed.engine.cache_type_k, changed.engine.cache_type_v) == ("q8_0", "q8_0", "q8_0")
    assert walked[1].words == ("KV q4_0 instead of f16, after running out of memory on gpu0",)


def test_without_flash_attention_values_stay_as_they_are() -> None:
    changes = next_changes(replace(TRIED, flash_attention=False), ("kv",), NONE)
    assert changes is not None
    assert (changes.cache_k, changes.cache_v) == ("q8_0", "f16")
    assert changes.steps[0].what == "KV q8_0/f16 instead of f16"


def test_the_context_is_halved_but_not_below_its_least() -> None:
    assert [each.context for each in _walk(TRIED, ("context",))] == [16384, 8192, 4096]
    assert next_changes(replace(TRIED, context=LEAST_CONTEXT), ("context",), NONE) is None
    changes = next_changes(TRIED, ("context",), NONE)
    assert changes is not None
    assert changes.profile(Profile(model="m", context="max")).context == 16384
    assert changes.words == ("context 16384 instead of 32768, after running out of memory on gpu0",)


@pytest.mark.parametrize(
    ("missing", "planned", "cut"),
    [(0, 2 * GIB, 256 * MIB), (0, 20 * GIB, GIB), (3 * GIB, 20 * GIB, 3 * GIB), (MIB, 2 * GIB, 256 * MIB)],
)
def test_the_host_gets_what_was_missing_and_some(missing: int, planned: int, cut: int) -> None:
    tried = replace(TRIED, missing=missing, planned=Classes(weights=planned))
    changes = next_changes(tried, ("host",), NONE)
    assert changes is not None
    assert changes.most == {"gpu0": planned - cut}
    rooms = {
        "gpu0": Room(device="gpu0", total=24 * GIB, available=22 * GIB),
        "host": Room(device="host", total=64 * GIB, available=60 * GIB),
    }
    narrowed = changes.rooms(rooms)
    assert narrowed["gpu0"].available == narrowed["gpu0"].most == planned - cut
    assert narrowed["gpu0"].margin == rooms["gpu0"].available - (planned - cut)
    assert narrowed["host"] == rooms["host"]
    assert "on the host" in changes.words[0]


def test_a_room_that_is_smaller_still_stays_so() -> None:
    changes = Changes(most={"gpu0": 5 * GIB})
    assert changes.rooms({"gpu0": Room(device="gpu0", total=9, available=3)})["gpu0"].available == 3


def test_the_host_cannot_help_itself() -> None:
    assert next_changes(replace(TRIED, device="host"), ("host",), NONE) is None
    assert next_changes(replace(TRIED, movable=False), ("host",), NONE) is None
    assert next_changes(replace(TRIED, planned=Classes(weights=200 * MIB)), ("host",), NONE) is None


def test_idle_residents_leave_once() -> None:
    walked = _walk(TRIED, ("evict",))
    assert [each.cleared for each in walked] == [("gpu0",)]
    assert walked[0].steps[0].what == "idle profiles leave gpu0 first: other"
    assert next_changes(replace(TRIED, idle={}), ("evict",), NONE) is None


def test_rungs_are_taken_in_the_order_of_the_profile() -> None:
    assert [each.steps[-1].rung for each in _walk(TRIED, ("context", "ubatch"))] == ["context"] * 3 + ["ubatch"] * 3
    assert [each.steps[-1].rung for each in _walk(TRIED, ("ubatch", "context"))] == ["ubatch"] * 3 + ["context"] * 3


def test_a_rung_that_cannot_free_enough_waits_until_no_other_can() -> None:
    """Three smaller ubatches would have been tried, minutes each, before the one change that could help."""
    tried = replace(TRIED, missing=3 * GIB)
    changes = next_changes(tried, ("ubatch", "kv", "host"), NONE)
    assert changes is not None
    assert changes.steps[-1].rung == "host"
    only = next_changes(tried, ("ubatch", "kv"), NONE)
    assert only is not None
    assert only.steps[-1].rung == "ubatch"


def test_a_closed_rung_is_passed_over() -> None:
    changes = next_changes(TRIED, ("host", "context"), NONE, frozenset({"host"}))
    assert changes is not None
    assert changes.steps[-1].rung == "context"


def test_no_rungs_no_ladder() -> None:
    assert next_changes(TRIED, (), NONE) is None


@given(
    rungs=st.permutations(ALL),
    missing=st.integers(0, 40 * GIB),
    context=st.integers(1, 2**20),
    ubatch=st.integers(1, 4096),
    device=st.sampled_from(["gpu0", "host"]),
)
def test_every_ladder_ends_and_only_ever_asks_for_less(
    rungs: list[Rung], missing: int, context: int, ubatch: int, device: str
) -> None:
    tried = replace(TRIED, missing=missing, context=context, ubatch=ubatch, device=device)
    walked = _walk(tried, tuple(rungs))
    assert len(walked) <= TRIES
    for earlier, later in zip([NONE, *walked], walked, strict=False):
        assert later.steps[:-1] == earlier.steps
        assert (later.context or context) <= (earlier.context or context)
        assert (later.ubatch or ubatch) <= (earlier.ubatch or ubatch)
    if walked:
        taken = [step.rung for step in walked[-1].steps]
        assert all(taken.count(rung) <= TIMES for rung in get_args(Rung))
        assert walked[-1].build == "b1"
        assert (walked[-1].context or LEAST_CONTEXT) >= LEAST_CONTEXT
        assert (walked[-1].ubatch or LEAST_UBATCH) >= LEAST_UBATCH
        assert len(walked[-1].words) >= 1
