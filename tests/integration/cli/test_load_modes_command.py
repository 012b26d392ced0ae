"""`hostler load-modes`."""

from __future__ import annotations

import msgspec
from cli_run import Run
from fake_gateway import FakeGateway

from hostler.wire.loading import LoadComparison, LoadModeStatus


def test_modes_are_compared_side_by_side(gateway: FakeGateway, run: Run) -> None:
    shown = run("load-modes", "tiny").stdout
    assert gateway.bodies == [{"profile": "tiny"}]
    assert "0.50 s" in shown
    assert "338.0 MiB" in shown
    assert "read from now on for models of under 1 GiB on ext4 /dev/sda1: quick." in shown


def test_behind_does_not_wait(gateway: FakeGateway, run: Run) -> None:
    assert run("load-modes", "smollm2", "--behind").stdout == "Load modes of smollm2 are being compared.\n"


def test_alone_it_shows_what_was_chosen(gateway: FakeGateway, run: Run) -> None:
    assert "ext4 /dev/sda1" in run("load-modes").stdout
    failed = LoadComparison(profile="coder", state="failed", at=1.0, reason="It did not load.")
    gateway.load_modes = LoadModeStatus(chosen=(), comparisons=(failed,))
    shown = run("load-modes").stdout
    assert "Files are mapped." in shown
    assert "coder: It did not load." in shown


def test_json_is_the_wire_struct_of_load_modes(gateway: FakeGateway, run: Run) -> None:
    assert msgspec.json.decode(run("load-modes", "--json").stdout, type=LoadModeStatus) == gateway.load_modes
    done = msgspec.json.decode(run("load-modes", "smollm2", "--json").stdout, type=LoadComparison)
    assert done == gateway.load_modes.comparisons[0]
