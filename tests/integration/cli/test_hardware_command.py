"""`hostler hardware`: this machine and described ones."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from cli_run import Run
from rich.cells import cell_len

from hostler.hardware import machines
from hostler.hardware.facts import Machine
from hostler.testing.gguf_files import write_tiny_gguf


def test_this_machine_is_measured_once(run: Run, home: Path) -> None:
    (home / "models").mkdir(exist_ok=True)
    write_tiny_gguf(home / "models" / "tiny.gguf")
    first = run("hardware", "--json")
    assert first.exit_code == 0
    assert "measuring" in first.stderr
    machine = msgspec.json.decode(first.stdout, type=Machine)
    assert machine.host.bandwidth is not None
    assert machine.host.bandwidth.source.startswith("measured")
    assert machine.disk is not None
    second = run("hardware", "--json")
    assert second.stderr == ""
    assert msgspec.json.decode(second.stdout, type=Machine).host.bandwidth == machine.host.bandwidth
    assert "measuring" in run("hardware", "--measure").stderr


@pytest.mark.parametrize("name", machines.names())
def test_every_shipped_machine_is_shown(run: Run, name: str) -> None:
    shown = run("hardware", name)
    assert shown.exit_code == 0
    machine = machines.load(name)
    assert machine.description in shown.stdout
    for device in machine.devices:
        assert device.name in shown.stdout
        assert device.bandwidth is not None
        assert device.bandwidth.source in shown.stdout
    assert name in run("hardware", "--help").stdout


def test_figures_lead_to_their_sources(run: Run) -> None:
    shown = run("hardware", "rtx4090-5070ti").stdout
    assert "1008 GB/s [1]" in shown
    assert "[1]  NVIDIA Ada" in shown
    assert "drives a display" in shown
    figures = [line for line in shown.splitlines() if not line.startswith("[")]
    assert max(cell_len(line.rstrip()) for line in figures) <= 80


def test_a_file_of_ones_own_and_a_wrong_name(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(
        'name = "mine"\n[cpu]\nmodel = "m"\ncores = 4\n'
        '[[devices]]\nkind = "host"\nmemory = { value = "8 GiB", source = "s" }\n'
    )
    assert msgspec.json.decode(run("hardware", str(file), "--json").stdout, type=Machine).name == "mine"
    failed = run("hardware", "dgx")
    assert failed.exit_code == 1
    assert "dgx-spark" in failed.stderr
    assert run("hardware", "dgx-spark", "--measure").exit_code == 1
