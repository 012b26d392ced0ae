"""Engine builds: the embedded one, and what else is installed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata

from hostler.cli.doctor.findings import Finding, Ground, ok, problem, warn
from hostler.errors import HostlerError

CHECK = "engine"
WHEEL = "xllamacpp"
# Loading the wheel takes a second or two; a disk that is asleep takes longer.
LOAD_S = 60
REINSTALL = "Install Hostler again (`make run` does it), or name a `llama-server` in `[profiles.NAME.engine] build`."


def embedded_version() -> str | None:
    """The version of the embedded build; None when it is not installed. Does not load it."""
    try:
        return metadata.version(WHEEL)
    except metadata.PackageNotFoundError:
        return None


def check(ground: Ground) -> Iterator[Finding]:
    """The embedded build is there and loads on this CPU; the default build runs and leaves no GPU dark.

    A `llama-server` on PATH is told of.
    """
    version = embedded_version()
    if version is None:
        yield problem(CHECK, "The embedded build (xllamacpp) is not installed.", REINSTALL)
    else:
        yield _loads(version)
    yield from _default(ground)
    yield from _on_path()


def _default(ground: Ground) -> Iterator[Finding]:
    """The build of profiles that name none: can it run, and does it use the GPUs that there are?"""
    import anyio

    from hostler.engines.building.installed import FOLDER
    from hostler.engines.builds import Builds
    from hostler.engines.capabilities import MEND, left_dark
    from hostler.hardware.inspection import inspect

    name = ground.config.engines.default_build
    builds = Builds(ground.home.cache, ground.home.state / FOLDER, lambda: name)
    try:
        build = anyio.run(builds.get, None)
    except HostlerError as error:
        if name is not None:  # else it is the embedded build, of which was told above
            yield problem(CHECK, f"The default build: {error.message}", "`hostler engine use NAME` sets another.")
        return
    if name is not None:
        yield ok(CHECK, f"Profiles that name no build use {build.title}, {build.version}.")
    if dark := left_dark(build, inspect().devices):
        yield warn(CHECK, dark, MEND)


def _loads(version: str) -> Finding:
    """Load it in a child: a build that does not suit the CPU kills the process that loads it."""
    try:
        done = subprocess.run(
            [sys.executable, "-c", f"import {WHEEL}"], capture_output=True, timeout=LOAD_S, check=False
        )
    except subprocess.TimeoutExpired:
        return warn(CHECK, f"The embedded build {WHEEL} {version} did not load within {LOAD_S} s.", "Is the disk busy?")
    if done.returncode == 0:
        return ok(CHECK, f"The embedded build {WHEEL} {version} loads.")
    if done.returncode < 0:
        why = f"loading it ends by signal {-done.returncode}: it does not suit this CPU"
    else:
        why = done.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2] or f"exit code {done.returncode}"
    return problem(CHECK, f"The embedded build {WHEEL} {version} does not load: {why}.", REINSTALL)


def _on_path() -> Iterator[Finding]:
    import shutil

    binary = shutil.which("llama-server")
    if binary is not None:
        yield ok(
            CHECK, f"{binary} is installed as well; used only when it is named: `hostler engine use` tries it first."
        )
