"""Loads against their plans: what is told, what is learnt, and what survives a broken file."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from hostler.engines.protocol import Buffer
from hostler.events import Sizes
from hostler.fleet.learning.reported import Reported, device_id
from hostler.fleet.learning.residuals import Residuals
from hostler.hardware.facts import Kind
from hostler.placement.bytes import Classes
from hostler.placement.corrections import NONE, Learnt
from hostler.placement.layout import whole
from hostler.placement.plan import Chosen
from hostler.placement.wish import Room, Wish
from hostler.testing.specs import SHAPE, SPEC

MIB, GIB = 2**20, 2**30
KINDS: dict[str, Kind] = {"host": "host", "gpu0": "nvidia", "gpu1": "nvidia"}
PLAN = replace(
    SPEC.plan,
    layout=whole(SHAPE, "gpu0"),
    bytes={
        "gpu0": Classes(weights=100 * MIB, kv=50 * MIB, compute=40 * MIB, runtime=400 * MIB),
        "host": Classes(mapped=20 * MIB, output=2 * MIB, runtime=80 * MIB),
    },
)
LOADED = replace(SPEC, plan=PLAN, build="b1")
EXACT: dict[str, dict[Learnt, float]] = {
    "gpu0": {"weights": 100.0, "kv": 50.0, "compute": 40.0},
    "host": {"weights": 20.0, "output": 2.0},
}
WISH = Wish(context=4096)


@pytest.fixture
def residuals(tmp_path: Path) -> Residuals:
    return Residuals(tmp_path / "residuals.json")


def test_a_load_as_planned_is_told_without_a_warning(residuals: Residuals) -> None:
    event = residuals.record(LOADED, EXACT, {"gpu0": 590 * MIB, "host": 100 * MIB}, KINDS)
    assert event.warnings == ()
    assert event.level == "info"
    assert event.devices["gpu0"]["weights"] == Sizes(100.0, 100.0)
    assert event.devices["host"]["weights"] == Sizes(20.0, 20.0)
    assert event.held == {"gpu0": 590.0, "host": 100.0}
    assert event.planned == {"gpu0": 590.0, "host": 102.0}


def test_weights_and_caches_must_agree_to_a_mebibyte(residuals: Residuals) -> None:
    for name in ("weights", "kv"):
        sizes = {**EXACT, "gpu0": {**EXACT["gpu0"], name: EXACT["gpu0"][name] + 2}}  # type: ignore[index]
        event = residuals.record(LOADED, sizes, {}, KINDS)
        assert event.level == "warning"
        assert [text.split(":")[0] for text in event.warnings] == [f"{name} on gpu0"]


def test_a_total_that_is_off_by_more_than_a_tenth_is_told(residuals: Residuals) -> None:
    off = {**EXACT, "gpu0": {**EXACT["gpu0"], "compute": 65.0}}
    event = residuals.record(LOADED, off, {}, KINDS)
    assert event.warnings == ("all on gpu0: 190 MiB predicted, 215 MiB reported",)
    near = {**EXACT, "gpu0": {**EXACT["gpu0"], "compute": 50.0}}
    assert residuals.record(LOADED, near, {}, KINDS).warnings == ()


def test_a_process_that_holds_more_than_planned_is_told(residuals: Residuals) -> None:
    event = residuals.record(LOADED, EXACT, {"gpu0": 700 * MIB, "host": 110 * MIB}, KINDS)
    assert event.warnings == ("the process holds 700 MiB on gpu0, 590 MiB were planned",)


def test_scratch_memory_and_what_is_beside_correct_the_next_plan(residuals: Residuals) -> None:
    assert residuals.corrections(SHAPE, "b1", WISH) == NONE
    sizes = {**EXACT, "gpu0": {**EXACT["gpu0"], "compute": 60.0}}
    residuals.record(LOADED, sizes, {"gpu0": (100 + 50 + 60 + 600) * MIB}, KINDS)
    learnt = residuals.corrections(SHAPE, "b1", WISH)
    corrected = learnt.applied("nvidia", PLAN.bytes["gpu0"])
    assert (corrected.compute, corrected.runtime) == (60 * MIB, 600 * MIB)
    assert (corrected.weights, corrected.kv) == (100 * MIB, 50 * MIB)
    assert learnt.applied("host", PLAN.bytes["host"]).runtime == 80 * MIB


def test_corrected_plans_that_come_true_stay_as_they_are(residuals: Residuals) -> None:
    """Learnt ratios are of the uncorrected prediction: otherwise each load would undo the one before."""
    sizes = {**EXACT, "gpu0": {**EXACT["gpu0"], "compute": 60.0}}
    residuals.record(LOADED, sizes, {}, KINDS)
    for _ in range(8):
        known = residuals.corrections(SHAPE, "b1", WISH)
        again = replace(PLAN, bytes={d: known.applied(KINDS[d], c) for d, c in PLAN.bytes.items()})
        assert again.bytes["gpu0"].compute == 60 * MIB
        assert residuals.record(replace(LOADED, plan=again), sizes, {}, KINDS).warnings == ()


def test_another_build_or_flags_learn_for_themselves(residuals: Residuals) -> None:
    residuals.record(LOADED, {"gpu0": {"compute": 60.0}}, {}, KINDS)
    assert residuals.corrections(SHAPE, "b2", WISH) == NONE
    assert residuals.corrections(SHAPE, "b1", replace(WISH, flash_attention=False)) == NONE
    assert residuals.corrections(SHAPE, "b1", replace(WISH, pooled=True)) == NONE
    assert residuals.corrections(SHAPE, "b1", WISH) == residuals.corrections(SHAPE, "b1") != NONE


def test_nothing_is_learnt_where_the_engine_placed_the_model(residuals: Residuals) -> None:
    theirs = replace(LOADED, plan=replace(PLAN, placement="engine"))
    assert residuals.record(theirs, {"gpu0": {"compute": 60.0}}, {}, KINDS).devices
    assert residuals.corrections(SHAPE, "b1", WISH) == NONE


def test_outputs_of_vectors_grow_later(residuals: Residuals) -> None:
    pooled = replace(PLAN, run=replace(PLAN.run, pooled=True))
    event = residuals.record(replace(LOADED, plan=pooled), {**EXACT, "host": {"output": 0.1}}, {}, KINDS)
    assert event.warnings == ()
    assert "output" not in event.devices.get("host", {})
    for wish in (replace(WISH, pooled=True), replace(WISH, whole_inputs=True)):
        assert [each.name for each in residuals.corrections(SHAPE, "b1", wish).known] == ["compute"]


def test_buffers_of_a_draft_model_cannot_be_told_apart(residuals: Residuals) -> None:
    both = replace(PLAN, bytes={**PLAN.bytes, "gpu0": replace(PLAN.bytes["gpu0"], draft=30 * MIB)})
    event = residuals.record(replace(LOADED, plan=both), {**EXACT, "gpu0": {"weights": 130.0}}, {}, KINDS)
    assert event.warnings == ()
    assert "gpu0" not in event.devices


def test_what_was_learnt_outlives_the_gateway_and_a_broken_file_does_not_stop_it(tmp_path: Path) -> None:
    file = tmp_path / "state" / "residuals.json"
    residuals = Residuals(file)
    residuals.record(LOADED, {"gpu0": {"compute": 60.0}}, {}, KINDS)
    residuals.save()
    assert Residuals(file).corrections(SHAPE, "b1", WISH) == residuals.corrections(SHAPE, "b1", WISH)
    for broken in (b"", b"{", b"[]", b'{"x": {"known": 3}}', b"\xff\xfe", b"[" * 100_000, b'{"x": {"known": [{}]}}'):
        file.write_bytes(broken)
        again = Residuals(file)
        assert again.corrections(SHAPE, "b1", WISH) == NONE
        again.record(LOADED, EXACT, {}, KINDS)
        again.save()
    assert [each.name for each in file.parent.iterdir()] == ["residuals.json"]


def test_a_ratio_that_cannot_be_is_bounded(tmp_path: Path) -> None:
    file = tmp_path / "residuals.json"
    residuals = Residuals(file)
    residuals.record(LOADED, {"gpu0": {"compute": 1e9}}, {}, KINDS)
    applied = residuals.corrections(SHAPE, "b1", WISH).applied("nvidia", PLAN.bytes["gpu0"])
    assert applied.compute == 80 * MIB


def test_buffers_are_summed_by_device_and_class() -> None:
    reported = Reported(PLAN)
    for device, kind, mib in (
        ("CUDA0", "model", 60.0), ("CUDA0", "model", 40.0), ("host", "model", 20.0), ("CUDA0", "kv", 5.0),
        ("CUDA0", "kv", 7.0), ("CUDA0", "compute", 30.0), ("CUDA0", "compute", 25.0), ("host", "mystery", 1.0),
    ):  # fmt: skip
        reported.add(Buffer(device, kind, mib))
    assert reported.mib == {"gpu0": {"weights": 100.0, "kv": 12.0, "compute": 30.0}, "host": {"weights": 20.0}}
    assert reported.bytes_on("gpu0") == 142 * MIB
    assert reported.bytes_on("gpu1") == 0


def test_devices_by_the_names_that_the_engine_gives_them() -> None:
    both = replace(PLAN, layout=replace(PLAN.layout, gpus=("gpu1", "gpu0")))
    named = replace(both, flags=(Chosen(("--device", "CUDA1,CUDA0"), ""),))
    assert [device_id(name, named) for name in ("CUDA1", "CUDA0", "host")] == ["gpu1", "gpu0", "host"]
    unnamed = replace(both, flags=())
    assert [device_id(name, unnamed) for name in ("ROCm0", "ROCm1")] == ["gpu1", "gpu0"]
    rooms = {gpu: Room(device=gpu, total=GIB, available=GIB) for gpu in ("gpu0", "gpu1")}
    assert device_id("", replace(both, rooms=rooms)) == "gpu0"
    assert device_id("", SPEC.plan) == device_id("CUDA0", SPEC.plan) == "host"
