"""Builds llama.cpp here: source, configure, compile, try, and only then a build that can be named.

Everything happens in a hidden folder beside the finished builds; what can be used appears by one rename, after the
new server has loaded a model and generated with it. The log stays whatever happens.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Awaitable, Callable
from pathlib import Path

import anyio
import anyio.to_thread
import msgspec

from hostler.engines.building.installed import (
    PROGRESS,
    RECORD,
    Installed,
    Underway,
    clear_abandoned,
    free_name,
    work_folder,
    write_record,
)
from hostler.engines.building.recipe import TARGETS, Recipe, Tools
from hostler.engines.building.steps import BuildProgress, Report, Step, run
from hostler.errors import BuildFailed, Conflict

# The sources of llama.cpp inside a source package of the registry, pinned.
PACKAGE = "llama-cpp-python"
VERSION = "0.3.36"
SHA256 = "832db0699007f1be95a7e41ef12e88926b02ba836461e36a36372db2760c1a2e"
NEEDED_BYTES = 3 * 2**30
_QUESTION_S = 20

Try = Callable[[Path], Awaitable[float | None]]


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What to build: ``source`` is a checkout or an archive of llama.cpp, None the pinned source package.

    ``folder`` is where builds live, ``log`` a file that is begun anew, ``jobs`` how many compilers run at once.
    """

    recipe: Recipe
    tools: Tools
    folder: Path
    log: Path
    name: str | None = None
    source: Path | None = None
    jobs: int = 1


async def build(order: Order, attempt: Try, report: Report) -> Installed:
    """Build, try with ``attempt`` (raises when it does not generate), keep. Hours on small machines.

    Cancelling ends everything that runs and leaves nothing but the log. Raises BuildFailed, Conflict, or what
    ``attempt`` raises.
    """
    name = order.name or free_name(order.folder, f"native-{order.recipe.backend}")
    if (order.folder / name).exists():
        raise Conflict(f"There is a build named {name} already.", hint="Take another `--name`, or remove its folder.")
    clear_abandoned(order.folder)
    work = work_folder(order.folder, name)
    report = _noting(work, name, report)
    try:
        work.mkdir(parents=True)
        _check_space(order.folder)
        order.log.parent.mkdir(parents=True, exist_ok=True)
        order.log.write_text("", encoding="utf-8")
        made = await _made(order, work, report)
        report(BuildProgress("try"))
        await attempt(made / TARGETS[0])
        record = Installed(
            name=name, backend=order.recipe.backend, source=_title(order.source), options=order.recipe.options
        )
        write_record(made / RECORD, record)
        os.replace(made, order.folder / name)
    except OSError as error:
        raise BuildFailed(f"{name} could not be built: {error.strerror or error}.", hint=f"See {order.log}.") from error
    finally:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(lambda: shutil.rmtree(work, ignore_errors=True))
    report(BuildProgress("done", 1.0))
    return record


def _noting(work: Path, name: str, report: Report) -> Report:
    """``report``, and every hundredth also into the work folder, for those who ask from outside."""
    last = ("", -1)

    def note(at: BuildProgress) -> None:
        nonlocal last
        report(at)
        step = (str(at.stage), round(100 * (at.fraction or 0)))
        if step != last and work.is_dir():
            last = step
            told = Underway(name=name, pid=os.getpid(), stage=at.stage, fraction=at.fraction)
            fresh = work / f"{PROGRESS}.new"
            fresh.write_bytes(msgspec.json.encode(told))
            fresh.replace(work / PROGRESS)

    return note


async def _made(order: Order, work: Path, report: Report) -> Path:
    """The folder with the programs and the licence."""
    source = await _source(order, work, report)
    target = work / "build"
    cmake = str(order.tools.cmake)
    generator = ("-G", "Ninja") if order.tools.ninja else ()
    await run(
        Step(
            stage="configure", cwd=work,
            argv=(cmake, "-S", str(source), "-B", str(target), *generator, *order.recipe.options),
        ),
        order.log, report,
    )  # fmt: skip
    await run(
        Step(
            stage="compile", cwd=work,
            argv=(cmake, "--build", str(target), "--target", *TARGETS, "-j", str(order.jobs)),
        ),
        order.log, report,
    )  # fmt: skip
    made = work / "made"
    made.mkdir()
    for program in TARGETS:
        shutil.copy2(_found(target, program), made / program)
    for licence in source.glob("LICENSE*"):
        shutil.copy2(licence, made / licence.name)
    return made


def _found(target: Path, program: str) -> Path:
    path = target / "bin" / program
    if not path.is_file():
        raise BuildFailed(f"The build made no {program}.", hint="Is the source llama.cpp, and recent?")
    return path


async def _source(order: Order, work: Path, report: Report) -> Path:
    """The folder of llama.cpp's sources; a checkout is used where it is, and only read."""
    if order.source is not None and order.source.is_dir():
        return _checked(order.source.absolute())
    archive = order.source or await _fetched(work, order.log, report)
    report(BuildProgress("unpack"))
    unpacked = work / "source"
    await anyio.to_thread.run_sync(_unpack, archive, unpacked)
    return _checked(_root(unpacked))


async def _fetched(work: Path, log: Path, report: Report) -> Path:
    """The source package by pip, which refuses another hash; its own settings (index, proxy) apply."""
    wanted = work / "requirements.txt"
    wanted.write_text(f"{PACKAGE}=={VERSION} --hash=sha256:{SHA256}\n", encoding="utf-8")
    folder = work / "fetched"
    argv = (
        sys.executable, "-m", "pip", "download", "--no-deps", "--no-binary", PACKAGE, "--require-hashes",
        "--disable-pip-version-check", "--no-input", "--progress-bar", "off",
        "--requirement", str(wanted), "--dest", str(folder),
    )  # fmt: skip
    await run(Step(stage="fetch", argv=argv, cwd=work), log, report)
    return next(folder.iterdir())


def _unpack(archive: Path, into: Path) -> None:
    """Unpack an archive; entries that lead out of the folder are refused. Raises BuildFailed."""
    into.mkdir()
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as packed:
                packed.extractall(into)  # noqa: S202 - zipfile drops what leads out of the folder
            return
        with tarfile.open(archive) as packed_tar:
            packed_tar.extractall(into, filter="data")
    except (tarfile.TarError, zipfile.BadZipFile, EOFError) as error:
        raise BuildFailed(
            f"{archive} cannot be unpacked: {error}.", hint="Name a .tar.gz or .zip of llama.cpp."
        ) from error


def _root(unpacked: Path) -> Path:
    """llama.cpp inside what was unpacked: at the top, one folder down, or vendored."""
    places = [unpacked, *sorted(unpacked.glob("*")), *sorted(unpacked.glob("*/vendor/llama.cpp"))]
    return next((place for place in reversed(places) if _is_llama(place)), unpacked)


def _is_llama(folder: Path) -> bool:
    return (folder / "CMakeLists.txt").is_file() and (folder / "tools" / "server").is_dir()


def _checked(folder: Path) -> Path:
    if not _is_llama(folder):
        raise BuildFailed(f"{folder.name} holds no sources of llama.cpp.", hint="Name a checkout or an archive of it.")
    return folder


def _check_space(folder: Path) -> None:
    free = shutil.disk_usage(folder).free
    if free < NEEDED_BYTES:
        raise BuildFailed(f"Building needs 3 GiB in {folder}; {free / 2**30:.1f} are free.", hint="Free some space.")


def _title(source: Path | None) -> str:
    return f"{PACKAGE} {VERSION}" if source is None else source.name


def installed_tools() -> Tools:
    """What this machine can build with. Blocking, well under a second."""
    nvcc = _which("nvcc", *sorted(Path("/usr/local").glob("cuda*/bin/nvcc"), reverse=True))
    return Tools(
        cmake=_cmake(),
        ninja=shutil.which("ninja") is not None,
        compiler=any(shutil.which(name) for name in ("c++", "g++", "clang++")),
        nvcc=nvcc,
        cuda=_cuda_version(nvcc) if nvcc else None,
        hip=_which("hipcc", Path("/opt/rocm/bin/hipcc")),
        vulkan=shutil.which("glslc") is not None,
    )


def _which(name: str, *places: Path) -> Path | None:
    found = shutil.which(name)
    return Path(found) if found else next((place for place in places if os.access(place, os.X_OK)), None)


def _cmake() -> Path | None:
    """The system's, or the one in the `cmake` wheel of this environment."""
    return _which("cmake", Path(sys.executable).with_name("cmake"))


def _cuda_version(nvcc: Path) -> tuple[int, int] | None:
    try:
        done = subprocess.run([nvcc, "--version"], capture_output=True, text=True, timeout=_QUESTION_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.search(r"release (\d+)\.(\d+)", done.stdout)
    return (int(found[1]), int(found[2])) if found else None
