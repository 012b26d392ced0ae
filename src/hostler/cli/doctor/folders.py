"""The folders of this home: can they be written, and is there room."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from hostler.cli.doctor.findings import Finding, Ground, ok, problem, warn
from hostler.config.quantities import format_bytes

CHECK = "folders"
# Room for logs, the ledger and one small model; below the first nothing can be recorded reliably.
FULL = 64 * 2**20
SCARCE = 4 * 2**30


def check(ground: Ground) -> Iterator[Finding]:
    """State, logs and models can be written; the disks of models and state have room."""
    home = ground.home
    for what, folder in (("state", home.state), ("log", home.logs), ("model", home.models)):
        yield writable(what, folder)
    yield room(home.models, shutil.disk_usage(_existing(home.models)).free)
    state = _existing(home.state)
    if state.stat().st_dev != _existing(home.models).stat().st_dev:
        yield from room_for_records(home.state, shutil.disk_usage(state).free)


def writable(what: str, folder: Path) -> Finding:
    """Whether a file can be made in ``folder``, or the folder itself can be made."""
    place = _existing(folder)
    try:
        # Permissions, read-only mounts, quotas and full disks all show only when really trying.
        with tempfile.NamedTemporaryFile(dir=place, prefix=".hostler-doctor-"):
            pass
    except OSError as error:
        return problem(CHECK, f"The {what} folder {folder} cannot be written: {error.strerror}.", _remedy(place))
    made = "" if place == folder else " (made when first needed)"
    return ok(CHECK, f"The {what} folder is {folder}{made}.")


def _remedy(place: Path) -> str:
    who = ""
    with contextlib.suppress(OSError, KeyError, ImportError):
        import pwd

        who = f" It belongs to {pwd.getpwuid(place.stat().st_uid).pw_name}."
    return f"Make it writable for this user (uid {os.getuid()}), or set HOSTLER_HOME to another folder.{who}"


def room(models: Path, free: int) -> Finding:
    """Whether ``free`` bytes on the disk of ``models`` are enough."""
    told = f"{format_bytes(free)} are free on the disk of {models}."
    if free < FULL:
        return problem(CHECK, told, "Make room: nothing can be fetched or recorded.")
    if free < SCARCE:
        return warn(CHECK, told, "Enough for small models only.")
    return ok(CHECK, told)


def room_for_records(state: Path, free: int) -> Iterator[Finding]:
    """That a disk of its own has too few bytes for the ledger and the audit; else nothing."""
    if free < FULL:
        told = f"{format_bytes(free)} are free on the disk of {state}."
        yield problem(CHECK, told, "Make room: requests are served, and not recorded.")


def _existing(folder: Path) -> Path:
    """``folder``, or the nearest folder above it that exists."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return folder
