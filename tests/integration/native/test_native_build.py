"""Builds with a stand-in for CMake that makes fake engines: what is kept, and that nothing else stays."""

from __future__ import annotations

import io
import os
import tarfile
import zipfile
from pathlib import Path

import anyio
import msgspec
import pytest

from hostler.engines.building.installed import Trials, listed
from hostler.engines.building.native import Order, build
from hostler.engines.building.recipe import TARGETS, Tools, recipe
from hostler.engines.building.steps import BuildProgress
from hostler.engines.building.trial import Ground, attempt
from hostler.engines.builds import Builds
from hostler.errors import BuildFailed, BuildUnusable, Conflict, HostlerError, KilledBySignal
from hostler.models.facts import Model
from hostler.testing.builds import write_build
from hostler.testing.gguf_files import write_tiny_gguf
from hostler.testing.processes import is_gone

pytestmark = pytest.mark.anyio


def fake_cmake(folder: Path, compile_with: str = "") -> Path:
    """Says and makes what the real one does: `cmake -S .. -B build`, then `cmake --build build --target ...`."""
    server = write_build(folder / "product")
    path = folder / "cmake"
    path.write_text(
        '#!/bin/sh\nif [ "$1" = --build ]; then\n'
        f"{compile_with}\n"
        'echo "[1/4] Building"; echo "[4/4] Linking"; mkdir -p "$2/bin"\n'
        f'for each in {" ".join(TARGETS)}; do cp "{server}" "$2/bin/$each"; done\n'
        'else echo "-- Configuring $*"; fi\n'
    )
    path.chmod(0o755)
    return path


def checkout(folder: Path) -> Path:
    (folder / "tools" / "server").mkdir(parents=True)
    (folder / "CMakeLists.txt").write_text("project(llama)")
    (folder / "LICENSE").write_text("MIT")
    return folder


@pytest.fixture
def order(tmp_path: Path) -> Order:
    tools = Tools(cmake=fake_cmake(tmp_path), compiler=True)
    return Order(
        recipe=recipe([], tools), tools=tools, folder=tmp_path / "builds", log=tmp_path / "logs" / "build.log",
        source=checkout(tmp_path / "llama.cpp"),
    )  # fmt: skip


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    path = write_tiny_gguf(tmp_path / "tiny.gguf")
    model = Model(name="tiny", files=(path,), size=path.stat().st_size, origin="path")
    return Ground(model=model, logs=tmp_path / "logs", state=tmp_path / "state", cache=tmp_path / "cache")


async def well(_: Path) -> None:
    """A trial that succeeds."""


def left(order: Order) -> list[str]:
    return sorted(os.listdir(order.folder)) if order.folder.exists() else []


async def test_a_build_is_tried_before_it_can_be_named(order: Order, ground: Ground) -> None:
    heard: list[BuildProgress] = []
    builds = Builds(ground.cache, order.folder)
    speeds: list[float | None] = []

    async def trial(server: Path) -> None:
        assert [name for name in left(order) if not name.startswith(".")] == []
        speeds.append((await attempt(str(server), builds, ground)).decode)

    made = await build(order, trial, heard.append)

    assert made.name == "native-cpu"
    assert listed(order.folder) == [made]
    assert left(order) == ["native-cpu"]
    assert sorted(os.listdir(order.folder / "native-cpu")) == sorted([*TARGETS, "LICENSE", "build.json"])
    assert speeds[0]
    found = await builds.get("native-cpu")
    assert found.path == order.folder / "native-cpu" / "llama-server"
    assert [each.stage for each in heard if each.fraction is None] == ["configure", "compile", "try"]
    assert [each.fraction for each in heard if each.stage == "compile"][1:] == [0.25, 1.0]
    log = order.log.read_text()
    assert "-DGGML_NATIVE=ON" in log
    assert "[4/4] Linking" in log


async def test_builds_live_side_by_side(order: Order) -> None:
    assert (await build(order, well, lambda _: None)).name == "native-cpu"
    assert (await build(order, well, lambda _: None)).name == "native-cpu-2"
    with pytest.raises(Conflict, match="native-cpu already"):
        await build(msgspec.structs.replace(order, name="native-cpu"), well, lambda _: None)
    assert left(order) == ["native-cpu", "native-cpu-2"]


async def test_a_build_that_does_not_generate_is_thrown_away(order: Order, ground: Ground, tmp_path: Path) -> None:
    tools = Tools(cmake=fake_cmake(tmp_path / "worse"), compiler=True)
    write_build(tmp_path / "worse" / "product", die_at_load="SIGILL")

    async def trial(server: Path) -> None:
        await attempt(str(server), Builds(ground.cache), ground)

    with pytest.raises(HostlerError):
        await build(msgspec.structs.replace(order, tools=tools), trial, lambda _: None)
    assert left(order) == []


@pytest.mark.parametrize("kind", ["tar.gz", "zip"])
async def test_archives(order: Order, tmp_path: Path, kind: str) -> None:
    """A vendored copy inside a source package is found."""
    archive = tmp_path / f"package.{kind}"
    source = checkout(tmp_path / "more" / "package-1" / "vendor" / "llama.cpp")
    (tmp_path / "more" / "package-1" / "CMakeLists.txt").write_text("project(wrapper)")
    if kind == "zip":
        with zipfile.ZipFile(archive, "w") as packed:
            for path in source.rglob("*"):
                packed.write(path, path.relative_to(tmp_path / "more"))
    else:
        with tarfile.open(archive, "w:gz") as packed_tar:
            packed_tar.add(tmp_path / "more" / "package-1", "package-1")
    made = await build(msgspec.structs.replace(order, source=archive), well, lambda _: None)
    assert made.source == archive.name


async def test_an_archive_cannot_write_elsewhere(order: Order, tmp_path: Path) -> None:
    archive = tmp_path / "evil.tar"
    with tarfile.open(archive, "w") as packed:
        entry = tarfile.TarInfo("../../escaped")
        entry.size = 4
        packed.addfile(entry, io.BytesIO(b"evil"))
    with pytest.raises(BuildFailed, match="cannot be unpacked"):
        await build(msgspec.structs.replace(order, source=archive), well, lambda _: None)
    assert "escaped" not in [name for _, _, names in os.walk(tmp_path) for name in names]
    assert left(order) == []


async def test_what_is_not_llama_cpp_is_refused(order: Order, tmp_path: Path) -> None:
    broken = tmp_path / "broken.tar.gz"
    broken.write_bytes(b"\x1f\x8bnot really")
    for source in (broken, tmp_path / "logs"):
        source.parent.mkdir(exist_ok=True)
        with pytest.raises(BuildFailed):
            await build(msgspec.structs.replace(order, source=source), well, lambda _: None)


async def test_a_compiler_error_is_the_message(order: Order, tmp_path: Path) -> None:
    tools = Tools(cmake=fake_cmake(tmp_path / "bad", 'echo "x.cpp:1: error: no AVX9"; exit 2'), compiler=True)
    with pytest.raises(BuildFailed) as caught:
        await build(msgspec.structs.replace(order, tools=tools), well, lambda _: None)
    assert caught.value.message == "The step `compile` failed: x.cpp:1: error: no AVX9."
    assert str(order.log) in caught.value.hint
    assert left(order) == []


async def test_a_cancelled_build_ends_its_compilers_and_leaves_nothing(order: Order, tmp_path: Path) -> None:
    pids = tmp_path / "pid"
    tools = Tools(
        cmake=fake_cmake(tmp_path / "slow", f'sleep 600 & echo $! > "{pids}"; echo "[1/9] x"; wait'), compiler=True
    )
    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:

            def heard(at: BuildProgress) -> None:
                if at.fraction is not None:
                    tasks.cancel_scope.cancel()

            await build(msgspec.structs.replace(order, tools=tools), well, heard)
    assert left(order) == []
    assert is_gone(int(pids.read_text()))


async def test_a_trial_is_kept_for_this_very_build(tmp_path: Path, ground: Ground) -> None:
    server = write_build(tmp_path / "bin")
    builds = Builds(ground.cache)
    trial = await attempt(str(server), builds, ground)
    trials = Trials(tmp_path / "builds")
    trials.keep(await builds.get(str(server)), trial)
    assert trials.of(await builds.get(str(server))) == trial
    server.write_text(server.read_text() + "# another\n")
    assert trials.of(await builds.get(str(server))) is None


async def test_a_build_that_dies_fails_its_trial(tmp_path: Path, ground: Ground) -> None:
    dead = tmp_path / "dead"
    dead.write_text("#!/bin/sh\nkill -ILL $$\n")
    dead.chmod(0o755)
    with pytest.raises(KilledBySignal):
        await attempt(str(dead), Builds(ground.cache), ground)


async def test_the_default_build_is_asked_for_each_time(tmp_path: Path, ground: Ground) -> None:
    server = write_build(tmp_path / "builds" / "mine")
    wanted: list[str | None] = [None]
    builds = Builds(ground.cache, tmp_path / "builds", lambda: wanted[0])
    assert (await builds.get(None)).kind == "embedded"
    wanted[0] = "mine"
    assert (await builds.get(None)).path == server
    assert (await builds.get("embedded")).kind == "embedded"
    wanted[0] = "gone"
    with pytest.raises(BuildUnusable, match="There is no build `gone`"):
        await builds.get(None)


async def test_what_a_killed_build_left_is_cleared_by_the_next(order: Order) -> None:
    abandoned = order.folder / ".native-cpu.99999999"
    abandoned.mkdir(parents=True)
    await build(order, well, lambda _: None)
    assert left(order) == ["native-cpu"]
