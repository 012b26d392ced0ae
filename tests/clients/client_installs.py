"""Installs clients from their registries, each into a folder of its own under `.make/clients`, from locked versions.

A client that cannot be installed fails its tests: none is left out in silence.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import pwd
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).parent
ROOT: Final = HERE.parents[1]
CLIENTS: Final = ROOT / ".make" / "clients"
INSTALL_S: Final = 600


def node(name: str) -> Path:
    """The folder with the packages of ``tests/clients/NAME/package-lock.json``, and that folder's scripts in it."""
    lock = HERE / name / "package-lock.json"

    def install(folder: Path) -> None:
        npm = shutil.which("npm")
        assert npm is not None, "these tests need Node.js 20 or newer with npm: install nodejs and npm"
        for file in (lock, lock.with_name("package.json")):
            shutil.copy(file, folder)
        _run([npm, "ci", "--no-audit", "--no-fund", "--loglevel=error"], folder)

    folder = _installed(name, lock, install)
    for script in (HERE / name).glob("*.mjs"):
        shutil.copy(script, folder)
    return folder


def node_version(folder: Path, package: str) -> str:
    """The version of an installed Node package."""
    about = json.loads((folder / "node_modules" / package / "package.json").read_bytes())
    return str(about["version"])


def python(name: str) -> Path:
    """The interpreter of an environment with what ``requirements/clients-NAME.txt`` locks."""
    lock = ROOT / "requirements" / f"clients-{name}.txt"
    uv = str(Path(sys.executable).with_name("uv"))

    def install(folder: Path) -> None:
        _run([uv, "venv", "-q", "--python", sys.executable, str(folder / "venv")], folder)
        into = ["--python", str(folder / "venv" / "bin" / "python")]
        _run([uv, "pip", "install", "-q", *into, "--require-hashes", "-r", str(lock)], folder)

    return _installed(name, lock, install) / "venv" / "bin" / "python"


def python_version(interpreter: Path, package: str) -> str:
    """The version of an installed Python package."""
    tell = f"import importlib.metadata as m; print(m.version({package!r}))"
    return subprocess.run([interpreter, "-c", tell], capture_output=True, text=True, check=True).stdout.strip()


def _installed(name: str, lock: Path, install: Callable[[Path], None]) -> Path:
    """The folder of ``name``, made anew when its lock file is another one than last time."""
    folder, wanted = CLIENTS / name, hashlib.sha256(lock.read_bytes()).hexdigest()
    stamp = folder / "installed"
    with _alone(name):
        if not stamp.exists() or stamp.read_text() != wanted:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            install(folder)
            stamp.write_text(wanted)
    return folder


@contextmanager
def _alone(name: str) -> Iterator[None]:
    """Two test runs at a time install once."""
    CLIENTS.mkdir(parents=True, exist_ok=True)
    with (CLIENTS / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _run(command: list[str], folder: Path) -> None:
    # A package manager is set up in the user's own folder, which tests do not have.
    environment = {**os.environ, "HOME": pwd.getpwuid(os.getuid()).pw_dir}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=INSTALL_S, check=False
    )
    assert done.returncode == 0, f"{' '.join(command)}:\n{done.stdout}{done.stderr}"
