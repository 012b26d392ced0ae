"""What real processes hold, who they are, who listens."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from hostler.hardware.process import children, is_same_process, process_start_time, resident, who_listens

MIB = 2**20
Start = Callable[..., "subprocess.Popen[bytes]"]

HOLD = """
import mmap, sys
data = bytearray(b"x") * (int(sys.argv[1]) * 2**20)
if len(sys.argv) > 2:
    file = open(sys.argv[2], "rb")
    mapped = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
    touched = sum(mapped[i] for i in range(0, len(mapped), 4096))
print("ready", flush=True)
sys.stdin.read()
"""
SHIM = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", sys.argv[1], *sys.argv[2:]], stdin=subprocess.PIPE, stdout=sys.stdout)
sys.stdin.read()
child.communicate()
"""


@pytest.fixture
def start() -> Iterator[Start]:
    """Runs a script until the test ends; returns once it said that it is ready."""
    running: list[subprocess.Popen[bytes]] = []

    def run(script: str, *args: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen([sys.executable, "-c", script, *args], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        running.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        return process

    yield run
    for process in running:
        process.communicate()


def end(process: subprocess.Popen[bytes]) -> None:
    process.communicate()


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.gguf"
    path.write_bytes(b"m" * (16 * MIB))
    return path


def test_own_memory_and_the_mapped_file(start: Start, model: Path) -> None:
    held = resident(start(HOLD, "32", str(model)).pid, [model])
    assert held is not None
    assert 32 * MIB <= held.anonymous < 64 * MIB
    assert held.file_backed == 16 * MIB
    assert held.total == held.anonymous + held.shared + held.file_backed


def test_only_the_named_files_count(start: Start, model: Path, tmp_path: Path) -> None:
    process = start(HOLD, "1", str(model))
    for files in ([], [tmp_path / "other.gguf"]):
        held = resident(process.pid, files)
        assert held is not None
        assert held.file_backed == 0


def test_a_linked_name_is_the_same_file(start: Start, model: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.gguf"
    link.symlink_to(model)
    held = resident(start(HOLD, "1", str(link)).pid, [link])
    assert held is not None
    assert held.file_backed == 16 * MIB


def test_an_engine_behind_a_shim_counts(start: Start, model: Path) -> None:
    shim = start(SHIM, HOLD, "32", str(model))
    assert len(children(shim.pid)) == 1
    held = resident(shim.pid, [model])
    assert held is not None
    assert held.anonymous >= 32 * MIB
    assert held.file_backed == 16 * MIB


def test_a_process_is_known_by_its_start(start: Start) -> None:
    process = start(HOLD, "1")
    began = process_start_time(process.pid)
    assert began is not None
    assert is_same_process(process.pid, began)
    assert not is_same_process(process.pid, began - 10)
    end(process)
    assert process_start_time(process.pid) is None
    assert not is_same_process(process.pid, began)
    assert resident(process.pid) is None
    assert children(process.pid) == []


def test_a_zombie_is_gone() -> None:
    process = subprocess.Popen([sys.executable, "-c", "pass"])
    try:
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # leaves it a zombie
        assert process_start_time(process.pid) is None
        assert resident(process.pid) is None
    finally:
        process.communicate()


@pytest.mark.parametrize("pid", [-1, 2**40])
def test_an_impossible_pid(pid: int) -> None:
    assert process_start_time(pid) is None
    assert resident(pid) is None


def test_who_listens() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        assert who_listens(port) is None
        listener.listen()
        assert who_listens(port) == f"{psutil.Process().name()} (pid {psutil.Process().pid})"
    assert who_listens(port) is None
