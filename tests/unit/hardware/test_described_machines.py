"""Machines that are described in a file."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostler.errors import ConfigError
from hostler.hardware import machines

GIB = 2**30
SMALLEST = """
name = "x"
[cpu]
model = "y"
cores = 2
[[devices]]
kind = "host"
memory = { value = "8 GiB", source = "s" }
"""


@pytest.mark.parametrize("name", machines.names())
def test_every_shipped_machine_is_whole(name: str) -> None:
    machine = machines.load(name)
    assert machine.name == name
    assert machine.described
    assert machine.description
    assert machine.disk is not None
    assert machine.devices[-1].id == "host"
    for device in machine.devices:
        assert 0 < device.free <= device.total
        assert device.bandwidth is not None
        assert device.bandwidth.source
        assert device.rates
        assert all(rate.source for rate in device.rates.values())
        assert device.sources["total"]
    assert len(machine.fingerprint) == 16


def test_the_two_cards_of_the_desktop() -> None:
    first, second, host = machines.load("rtx4090-5070ti").devices
    assert first.bandwidth is not None
    assert second.bandwidth is not None
    assert (first.bandwidth.value, second.bandwidth.value) == (1008e9, 896e9)
    assert (first.target, second.target) == ("sm_89", "sm_120")
    assert (first.display, second.display) == (False, True)
    assert second.total - second.free == 3_500_000_000
    assert host.total == 64 * GIB


@pytest.mark.parametrize("name", ["m2-16gb", "m4-max-64gb", "dgx-spark"])
def test_unified_memory_says_so(name: str) -> None:
    gpu, host = machines.load(name).devices
    assert gpu.unified
    assert not host.unified
    assert (gpu.total, gpu.free) == (host.total, host.free)
    assert gpu.limit is None or gpu.limit < gpu.total


def test_a_file_of_ones_own(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(SMALLEST)
    machine = machines.load(str(file))
    assert (machine.cpu.threads, machine.host.total, machine.host.bandwidth) == (2, 8 * GIB, None)
    assert machine.gpus == ()


def test_no_such_machine_lists_the_shipped_ones() -> None:
    with pytest.raises(ConfigError, match="dgx-spark"):
        machines.load("dgx-sprak")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ('name = "x"', "name"),
        ("cores = 2", "cores"),
        ('kind = "host"', "kind"),
        ('"8 GiB"', "memory"),
    ],
)
def test_a_missing_key_is_named(change: str, said: str) -> None:
    replaced = '"many"' if change.startswith('"') else ""
    with pytest.raises(ConfigError, match=said):
        machines.parse(SMALLEST.replace(change, replaced), "mine.toml")


@pytest.mark.parametrize(
    "added",
    [
        "nme = 1",
        'held = { value = "9 GiB", source = "s" }',
        'bandwidth_gb_s = { value = -1, source = "s" }',
        'bandwidth_gb_s = { value = nan, source = "s" }',
        '[[devices]]\nkind = "host"\nmemory = { value = "1 GiB", source = "s" }',
        '[[devices]]\nkind = "nvidia"\nid = "host"\nmemory = { value = "1 GiB", source = "s" }',
        '[[devices]]\nkind = "nvidia"\nmemory = { value = 0, source = "s" }',
        'limit = { value = "9 GiB", source = "s" }',
        'pcie = { generation = 0, width = 16, source = "s" }',
        'pcie = { generation = 4, width = -4, source = "s" }',
        "cores = -1",
        'id = "\\u001b[31m"',
        'name = "two\\nlines"',
        '[disk_gb_s]\nvalue = nan\nsource = "s"',
        '[disk_gb_s]\nvalue = -5\nsource = "s"',
        '[price]\namount = -1\ncurrency = "USD"\nsource = "s"',
        '[price]\namount = nan\ncurrency = "USD"\nsource = "s"',
        "= broken",
    ],
)
def test_contradictions_are_refused(added: str) -> None:
    with pytest.raises(ConfigError, match=r"mine\.toml"):
        machines.parse(f"{SMALLEST}{added}\n", "mine.toml")


@pytest.mark.parametrize("cpu", ["cores = 0", "cores = 2\nthreads = 0", "cores = 2\nefficiency_cores = 2"])
def test_a_processor_that_cannot_be(cpu: str) -> None:
    with pytest.raises(ConfigError, match="at least one"):
        machines.parse(SMALLEST.replace("cores = 2", cpu), "mine.toml")


@pytest.mark.parametrize("clock", ["nan", "inf", "0", "-1", "2600"])
def test_a_clock_that_would_make_every_speed_nonsense(clock: str) -> None:
    cpu = f'cores = 2\nclock_ghz = {{ value = {clock}, source = "s" }}'
    with pytest.raises(ConfigError, match="clock_ghz"):
        machines.parse(SMALLEST.replace("cores = 2", cpu), "mine.toml")


@pytest.mark.parametrize("name", ["", " ", "\\u001b[31mred"])
def test_a_name_that_cannot_be_shown(name: str) -> None:
    with pytest.raises(ConfigError, match="name"):
        machines.parse(SMALLEST.replace('"x"', f'"{name}"'), "mine.toml")


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="cannot be read"):
        machines.load(str(file))
    with pytest.raises(ConfigError):
        machines.load(str(tmp_path))


@given(st.text(max_size=200))
def test_any_text_is_a_machine_or_an_error(text: str) -> None:
    with pytest.raises(ConfigError):
        machines.parse(text, "mine.toml")


def test_the_example_of_the_documentation_is_one() -> None:
    page = (Path(__file__).parents[3] / "docs" / "hardware.md").read_text("utf-8")
    machine = machines.parse(page.partition("```text\n")[2].partition("```")[0], "docs/hardware.md")
    assert machine.price is not None
    assert machine.gpus[0].bandwidth is not None
    assert machine.gpus[0].free == 32607 * 2**20 - 1_200_000_000
