"""The builds that were made here, and how fast each build was when it was tried."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from hostler.hardware.process import process_start_time

if TYPE_CHECKING:
    from hostler.engines.builds import Build

FOLDER = "builds"
RECORD = "build.json"
PROGRAM = "llama-server"
PROGRESS = "progress.json"
_MEASURED = "measured.json"


class Installed(msgspec.Struct, frozen=True, kw_only=True):
    """A build that was made here: with which backend, from what, with which options."""

    name: str
    backend: str
    source: str
    options: tuple[str, ...] = ()
    made_at: float = msgspec.field(default_factory=time.time)


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """A build loaded ``model`` and generated: tokens per second, None when it did not say."""

    model: str
    decode: float | None
    prefill: float | None
    tried_at: float = msgspec.field(default_factory=time.time)


def listed(folder: Path) -> list[Installed]:
    """The builds in ``folder``, by name; what has no readable record is none."""
    try:
        names = sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
    except OSError:
        return []
    return [record for name in names if (record := _read(folder / name / RECORD)) is not None]


class Underway(msgspec.Struct, frozen=True, kw_only=True):
    """A build that is being made by process ``pid``: how far its stage is, None where it does not say."""

    name: str
    pid: int
    stage: str
    fraction: float | None = None


def work_folder(folder: Path, name: str) -> Path:
    """Where this process makes the build of that name; hidden, and gone when it is done."""
    return folder / f".{name}.{os.getpid()}"


def underway(folder: Path) -> list[Underway]:
    """The builds that are being made now."""
    found = (_read_progress(path / PROGRESS) for path in _work_folders(folder))
    return [each for each in found if each is not None and process_start_time(each.pid) is not None]


def clear_abandoned(folder: Path) -> None:
    """Remove what builds left whose process is gone (killed, or the machine went down)."""
    for path in _work_folders(folder):
        pid = path.name.rpartition(".")[2]
        if pid.isdigit() and process_start_time(int(pid)) is None:
            shutil.rmtree(path, ignore_errors=True)


def _work_folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob(".*.*") if path.is_dir())


def _read_progress(path: Path) -> Underway | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Underway)
    except (OSError, msgspec.MsgspecError):
        return None


def program(folder: Path, name: str) -> Path | None:
    """The server of the build of that name; None when there is none."""
    path = folder / name / PROGRAM
    return path if os.sep not in name and not name.startswith(".") and path.is_file() else None


def free_name(folder: Path, wanted: str) -> str:
    """``wanted``, or with the first number that makes it new."""
    number = 1
    while (folder / (wanted if number == 1 else f"{wanted}-{number}")).exists():
        number += 1
    return wanted if number == 1 else f"{wanted}-{number}"


def write_record(path: Path, record: Installed) -> None:
    """Write it; a build without one is not listed."""
    path.write_bytes(msgspec.json.encode(record))


def _read(path: Path) -> Installed | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Installed)
    except (OSError, msgspec.MsgspecError):
        return None


class Trials:
    """What trials showed, by the build's own identity: another file under the same name has none."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / _MEASURED

    def of(self, build: Build) -> Trial | None:
        """The last trial of this very build."""
        return self._all().get(_key(build))

    def keep(self, build: Build, trial: Trial) -> None:
        """Remember it. Raises OSError."""
        known = {**self._all(), _key(build): trial}
        self._file.parent.mkdir(parents=True, exist_ok=True)
        fresh = self._file.with_suffix(f".{os.getpid()}")
        fresh.write_bytes(msgspec.json.encode(known))
        fresh.replace(self._file)

    def _all(self) -> dict[str, Trial]:
        try:
            return msgspec.json.decode(self._file.read_bytes(), type=dict[str, Trial])
        except (OSError, msgspec.MsgspecError):
            return {}


def _key(build: Build) -> str:
    return build.sha256 or build.version
