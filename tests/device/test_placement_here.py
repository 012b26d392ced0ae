"""Predicted bytes and speed against what an engine on this machine's GPUs reports; fails where there is none.

The layouts are forced by margins: everything on the first card, half the layers, experts on the host.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from gateway_process import Home

from conftest import StartGateway
from hostler.events import PlacementMeasured
from hostler.hardware.facts import Machine

pytestmark = pytest.mark.anyio

EXACT = ("weights", "kv", "recurrent")
COMPUTE = 0.10
SPEED = 0.15
CALIBRATION_S = 600.0


def leave(machine: Machine, mib: int) -> str:
    """A margin that leaves ``mib`` of the first card to us, and nothing of the others."""
    first, *others = machine.gpus
    kept = [f'{first.id} = "{first.free // 2**20 - mib} MiB"', *(f'{each.id} = "{each.total}"' for each in others)]
    return f"[memory]\nmargin = {{ {', '.join(kept)} }}"


def agrees(measured: PlacementMeasured) -> None:
    assert any(device.startswith("gpu") for device in measured.devices)
    for device, classes in measured.devices.items():
        for name in EXACT:
            if name in classes:
                assert abs(classes[name].predicted - classes[name].reported) <= 1, (device, name)
        if "compute" in classes:
            sizes = classes["compute"]
            assert abs(sizes.predicted - sizes.reported) <= max(COMPUTE * sizes.reported, 4), device


@pytest.mark.parametrize("kv", ["f16", "q8_0"])
async def test_a_model_that_fits_lies_on_the_card(
    gateway: StartGateway, place: Home, machine: Machine, build: str, smollm2: Path, kv: str
) -> None:
    profile = place.profile("model", smollm2, f'context = 8192\nkv = "{kv}"', engine=f"build = {build}")
    running = gateway(profile)
    assert (await running.chat("model", max_tokens=8)).status == 200
    agrees(await running.event(PlacementMeasured))


@pytest.mark.parametrize("mib", [900, 1200, 1600])
async def test_experts_that_do_not_fit_stay_on_the_host(
    gateway: StartGateway, place: Home, machine: Machine, build: str, mixture: Path, mib: int
) -> None:
    profile = place.profile("model", mixture, "context = 8192", engine=f"build = {build}\nubatch = 512")
    running = gateway(profile, top=leave(machine, mib))
    assert (await running.chat("model", max_tokens=8)).status == 200
    measured = await running.event(PlacementMeasured)
    agrees(measured)
    assert "host" in measured.devices


def test_after_a_calibration_speed_is_as_predicted(place: Home, machine: Machine, build: str, mixture: Path) -> None:
    place.write(place.profile("model", mixture, "context = 8192", engine=f"build = {build}"))
    learnt = place.cli("calibrate", "model", within_s=CALIBRATION_S)
    assert learnt.code == 0, learnt.err
    checked = place.cli("calibrate", "model", "--check", "--json", within_s=CALIBRATION_S)
    assert checked.code == 0, checked.err
    (model,) = checked.json
    assert model["device"].startswith("gpu")
    for row in model["rows"]:
        for phase in ("decode", "prefill"):
            assert abs(row[phase]["predicted"] / row[phase]["measured"] - 1) <= SPEED, row
