"""Probing binaries: what they are, once, in bounded time."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from hostler.engines.builds import Builds, find_on_path
from hostler.errors import BuildUnusable, KilledBySignal
from hostler.testing.builds import write_build

pytestmark = pytest.mark.anyio


def _script(path: Path, text: str) -> Path:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


async def test_the_embedded_build_is_the_default(tmp_path: Path) -> None:
    build = await Builds(tmp_path).get(None)

    assert build.kind == "embedded"
    assert build.version.startswith("xllamacpp ")
    assert build == await Builds(tmp_path).get("embedded")


async def test_a_binary_is_probed_once_for_its_size_and_time(tmp_path: Path) -> None:
    asked = tmp_path / "asked"
    program = _script(
        tmp_path / "llama-server",
        f'echo "$1" >> {asked}\n'
        'case "$1" in --version) echo "version: 0.6.0-dev (build 0, commit unknown)";;\n'
        '*) printf "%s\\n" "-m,    --model FNAME   model, see --not-this-line" "--no-ui, --x-y 1";; esac',
    )
    build = await Builds(tmp_path).get(str(program))

    assert build.version == "version: 0.6.0-dev (build 0, commit unknown)"
    assert {"-m", "--model", "--no-ui", "--x-y"} <= build.flags
    assert len(build.sha256) == 64
    assert build.path == program

    assert await Builds(tmp_path).get(str(program)) == build
    assert asked.read_text().split() == ["--version", "--help"]

    program.write_text(program.read_text() + "# changed\n")
    assert (await Builds(tmp_path).get(str(program))).sha256 != build.sha256


async def test_a_cache_that_is_broken_is_renewed(tmp_path: Path) -> None:
    program = write_build(tmp_path / "bin")
    build = await Builds(tmp_path).get(str(program))
    for file in (tmp_path / "builds").iterdir():
        file.write_text("{")

    assert await Builds(tmp_path).get(str(program)) == build


async def test_the_devices_of_a_binary_are_listed(tmp_path: Path) -> None:
    program = _script(
        tmp_path / "llama-server",
        'case "$1" in --list-devices) printf "Available devices:\\n  CUDA0: A GPU (24576 MiB, 24000 MiB free)\\n";;'
        ' *) echo "--list-devices   print them";; esac',
    )

    assert (await Builds(tmp_path).get(str(program))).devices == ("CUDA0",)


async def test_a_binary_that_dies_when_asked(tmp_path: Path) -> None:
    program = _script(tmp_path / "llama-server", "kill -ILL $$")

    with pytest.raises(KilledBySignal, match="SIGILL"):
        await Builds(tmp_path).get(str(program))


async def test_what_cannot_run_says_why(tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.write_text("text")
    foreign = tmp_path / "foreign"
    foreign.write_bytes(b"\x7fELF" + bytes(60))
    foreign.chmod(0o755)

    with pytest.raises(BuildUnusable, match="No such file"):
        await Builds(tmp_path).get(str(tmp_path / "missing"))
    with pytest.raises(BuildUnusable, match="not an executable"):
        await Builds(tmp_path).get(str(plain))
    with pytest.raises(BuildUnusable, match="another kind of machine"):
        await Builds(tmp_path).get(str(foreign))
    with pytest.raises(BuildUnusable, match="on PATH"):
        await Builds(tmp_path).get("no-such-engine-anywhere")


def test_a_binary_on_path_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_on_path() is None

    assert write_build(tmp_path) == find_on_path()
