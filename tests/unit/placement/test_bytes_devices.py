"""Predicted bytes per device against the engine's dry run with two cards (`tests/data/referee_devices.json`).

The cards are RPC servers (`tests/tools/referee_devices.py`): the engine's own scheduler and allocator, but without
``op_offload``, which is why they count here as devices that do not compute with what lies on the host.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from hostler.models.shape import ModelShape
from hostler.placement.bytes import Classes, bytes_of
from hostler.placement.compute import copies_of
from hostler.placement.layout import HOST, Run, whole
from hostler.testing.published import Published
from hostler.testing.recordings import ENGINE_HOST, DeviceRow, layout_of, read_recorded_devices
from hostler.testing.zoo import PUBLISHED, write_projector

MIB = 2**20
ShapeOf = Callable[..., ModelShape]


@pytest.fixture(scope="session")
def rows() -> tuple[DeviceRow, ...]:
    return read_recorded_devices(Path(__file__).parents[2] / "data").rows


def predicted(shape: ModelShape, row: DeviceRow) -> dict[str, Classes]:
    found = bytes_of(shape, row.run, row.placed(len(shape.layers)), {"RPC0": "host", "RPC1": "host"})
    return {ENGINE_HOST if device == HOST else device: classes for device, classes in found.items()}


@pytest.mark.parametrize("model", PUBLISHED, ids=lambda model: model.name)
def test_every_device_takes_what_the_engine_says(
    shape_of: ShapeOf, rows: tuple[DeviceRow, ...], model: Published
) -> None:
    """Weights, caches and states to the MiB that it cuts off; compute within 10% where no experts are elsewhere."""
    shape, own = shape_of(model.name), [row for row in rows if row.model == model.name]
    assert len(own) == (27 if model.experts else 18)
    for row in own:
        found = predicted(shape, row)
        assert found.keys() == row.devices.keys()
        for device, held in row.devices.items():
            classes = found[device]
            assert 0 <= (classes.weights + classes.mapped) / MIB - held.model <= 1.001, (row, device)
            assert 0 <= (classes.kv + classes.recurrent) / MIB - held.context < 1, (row, device)
            if "experts" not in row.layout and row.cards:
                assert classes.compute / MIB == pytest.approx(held.compute, rel=0.1), (row, device)


def test_with_experts_elsewhere_scratch_memory_is_seldom_too_low(
    shape_of: ShapeOf, rows: tuple[DeviceRow, ...]
) -> None:
    """What is passed to and fro fragments the buffer; at most 12% too low, and by less than 64 MiB too high."""
    for row in rows:
        if "experts" in row.layout:
            found = predicted(shape_of(row.model), row)
            for device, held in row.devices.items():
                assert 0.88 * held.compute <= found[device].compute / MIB <= held.compute + 64, (row, device)


def test_another_build_keeps_other_rows_on_the_processor(shape_of: ShapeOf, rows: tuple[DeviceRow, ...]) -> None:
    """The formula is exact for the embedded build (test_bytes.py); the native one of the records needs rather less."""
    for row in rows:
        if not row.cards:
            found = predicted(shape_of(row.model), row)[ENGINE_HOST].compute / MIB
            assert -0.025 <= found / row.devices[ENGINE_HOST].compute - 1 <= 0.15, row


def test_cards_that_hold_everything_work_at_once(shape_of: ShapeOf, rows: tuple[DeviceRow, ...]) -> None:
    for row in rows:
        assert copies_of(row.placed(len(shape_of(row.model).layers))) == row.copies, row


def test_the_output_counts_as_a_layer() -> None:
    """33 things over two cards: 17 and 16, of which the last is the output (as the engine's log shows)."""
    found = layout_of(32, ["-ngl", "999", "-ts", "1,1"])
    assert (found.layers.count("RPC0"), found.layers.count("RPC1"), found.output) == (17, 15, "RPC1")


def test_a_card_that_computes_prompts_for_the_host_needs_room_for_a_copy(shape_of: ShapeOf) -> None:
    """The largest tensor of experts is copied to the first card (`op_offload`), not to the second."""
    shape, run = shape_of("gpt-oss-120b"), Run(context=32768)
    layout = layout_of(len(shape.layers), ["-ngl", "999", "-ts", "1,1", "-ncmoe", "18"])
    copied = bytes_of(shape, run, layout, {"RPC0": "nvidia", "RPC1": "nvidia"})
    alone = bytes_of(shape, run, layout, {"RPC0": "host", "RPC1": "host"})
    assert copied["RPC0"].compute >= alone["RPC0"].compute + shape.expert_tensor - 64 * MIB
    assert copied["RPC1"].compute == alone["RPC1"].compute
    assert 128 * 2880 * 2880 * 17 // 32 <= shape.expert_tensor <= 128 * 2880 * 2880 * 17 // 32 + MIB


def test_an_unused_card_computes_nothing(shape_of: ShapeOf) -> None:
    shape = shape_of("Llama-3.1-8B")
    layout = msgspec.structs.replace(whole(shape, "GPU-1"), gpus=("GPU-1", "GPU-2"))
    assert bytes_of(shape, Run(context=4096), layout, {})["GPU-2"].compute == 0


def test_a_projector_takes_about_what_the_engine_expects(shape_of: ShapeOf, tmp_path: Path) -> None:
    """Its file is known to the byte, the scratch memory for a large image is a prior that is rather too high."""
    size = write_projector(tmp_path).stat().st_size
    expected = read_recorded_devices(Path(__file__).parents[2] / "data").projector
    shape = shape_of("Qwen2.5-VL-7B")
    found = bytes_of(shape, Run(context=4096, projector=size), whole(shape, HOST), {})[HOST].projector / MIB
    assert expected <= found <= 1.1 * expected
