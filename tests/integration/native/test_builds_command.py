"""`hostler engine ls` and `use`, with fake engines as builds and a real embedded one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from hostler.engines.building.installed import RECORD, Installed, write_record
from hostler.testing.builds import write_build
from hostler.testing.processes import is_gone

HOSTLER = Path(sys.executable).with_name("hostler")
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def hostler(home: Path, smollm2: Path) -> Run:
    """The command in a home that has the starter model, and nothing on PATH but what is needed."""
    (home / "models").mkdir()
    os.link(smollm2, home / "models" / smollm2.name)

    def hostler(*arguments: str, path: Path | None = None) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "PATH": f"{path}:{os.environ['PATH']}" if path else os.environ["PATH"]}
        return subprocess.run([HOSTLER, *arguments], capture_output=True, text=True, timeout=120, env=environment)

    return hostler


def made(home: Path, name: str, **switches: bool) -> Path:
    server = write_build(home / "state" / "builds" / name, **switches)
    write_record(server.parent / RECORD, Installed(name=name, backend="cpu", source="a checkout"))
    return server


def listing(hostler: Run, **more: Path) -> dict[str, dict[str, object]]:
    done = hostler("engine", "ls", "--json", **more)
    assert done.returncode == 0, done.stderr
    return {each["name"]: each for each in json.loads(done.stdout)}


def test_builds_are_listed_and_a_tried_one_becomes_the_default(home: Path, hostler: Run, tmp_path: Path) -> None:
    made(home, "native-cpu")
    elsewhere = write_build(tmp_path / "bin")
    before = listing(hostler, path=elsewhere.parent)
    assert set(before) == {"embedded", "native-cpu", str(elsewhere)}
    assert [name for name, each in before.items() if each["active"]] == ["embedded"]
    assert before["native-cpu"]["decode"] is None

    done = hostler("engine", "use", "native-cpu", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["decode"]
    assert tomllib.loads((home / "hostler.toml").read_text()) == {"engines": {"default_build": "native-cpu"}}

    after = listing(hostler)
    assert [name for name, each in after.items() if each["active"]] == ["native-cpu"]
    assert after["native-cpu"]["decode"]
    assert after["embedded"]["decode"]  # tried beside it, to compare
    assert "native-cpu*" in hostler("engine", "ls").stdout

    assert hostler("engine", "use", "embedded").returncode == 0
    assert listing(hostler)["embedded"]["active"]


def test_a_build_that_fails_its_trial_is_not_used(home: Path, hostler: Run) -> None:
    broken = made(home, "broken")
    broken.write_text("#!/bin/sh\nexit 3\n")
    done = hostler("engine", "use", "broken")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert not (home / "hostler.toml").exists()


def test_a_default_that_is_gone_is_a_finding(home: Path, hostler: Run) -> None:
    (home / "hostler.toml").write_text('[engines]\ndefault_build = "gone"\n')
    found = listing(hostler)["gone"]
    assert found["active"]
    assert "There is no build `gone`" in str(found["problem"])
    doctor = json.loads(hostler("doctor", "--json").stdout)
    assert [each for each in doctor if each["check"] == "engine" and "gone" in each["message"]]


def test_what_would_be_built_is_shown(hostler: Run) -> None:
    done = hostler("engine", "build", "--backend", "cpu", "--dry-run", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["backend"] == "cpu"
    missing = hostler("engine", "build", "--source", "nowhere")
    assert missing.returncode == 1
    assert "nowhere does not exist" in missing.stderr


def test_a_build_in_the_background_is_seen_and_ended(home: Path, hostler: Run, tmp_path: Path) -> None:
    source = tmp_path / "llama.cpp"
    (source / "tools" / "server").mkdir(parents=True)
    (source / "CMakeLists.txt").write_text("project(llama)")
    tools = tmp_path / "tools"
    tools.mkdir()
    compiler = tmp_path / "compiler"
    (tools / "cmake").write_text(
        f'#!/bin/sh\nif [ "$1" = --build ]; then sleep 600 & echo $! > {compiler}; echo "[1/4] x"; wait; fi\n'
    )
    (tools / "cmake").chmod(0o755)
    (tools / "g++").symlink_to("/bin/true")
    done = hostler(
        "engine", "build", "--background", "--backend", "cpu", "--source", str(source), "--json", path=tools
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    pid = json.loads(done.stdout)["pid"]
    try:
        eventually(lambda: listing(hostler).get("native-cpu", {}).get("version") == f"compile 25% (pid {pid})")
        assert listing(hostler)["native-cpu"]["kind"] == "building"
    finally:
        os.kill(pid, signal.SIGTERM)
    eventually(lambda: os.listdir(home / "state" / "builds") == [])
    eventually(lambda: is_gone(int(compiler.read_text())))


def eventually(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)
