"""One gateway per state folder: a lock that ends with the process, and a record of who holds it."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import msgspec

from hostler.errors import HomeError, HomeLocked

LOCK = "gateway.lock"
RECORD = "gateway.json"


class Holder(msgspec.Struct, frozen=True):
    """Who holds a state folder: ``pid``, when that process started (Unix seconds), where it listens."""

    pid: int
    start_time: float
    url: str


class HomeLock:
    """The lock on a state folder. The kernel frees it when the process ends, however it ends."""

    def __init__(self, state: Path) -> None:
        self._state = state
        self._handle: int | None = None

    def acquire(self, holder: Holder) -> None:
        """Take the lock and write the record; folders are made 0700.

        Raises HomeLocked, naming the pid that holds it, and HomeError when the folder cannot be written.
        """
        try:
            self._state.mkdir(parents=True, exist_ok=True, mode=0o700)
            handle = os.open(self._state / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise HomeError(
                f"The state folder {self._state} cannot be written: {error.strerror}.",
                hint="Make it writable, or set HOSTLER_HOME to a folder that is.",
            ) from None
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(handle)
            raise self._held() from None
        self._handle = handle
        self.record(holder)

    def _held(self) -> HomeLocked:
        try:
            holder = msgspec.json.decode((self._state / RECORD).read_bytes(), type=Holder)
        except (OSError, msgspec.DecodeError):
            return HomeLocked(f"Another gateway holds {self._state}.")
        return HomeLocked(
            f"A gateway at {holder.url or 'an address not known yet'} (pid {holder.pid}) holds {self._state}."
        )

    def record(self, holder: Holder) -> None:
        """Write who holds it; HomeError when the disk is full."""
        file = self._state / RECORD
        fresh = file.with_suffix(".new")
        try:
            fresh.write_bytes(msgspec.json.encode(holder))
            os.replace(fresh, file)
        except OSError as error:
            raise HomeError(f"{file} cannot be written: {error.strerror}.", hint="Free some space.") from None

    def release(self) -> None:
        """Remove the record and free the lock; nothing happens when it is not held."""
        if self._handle is None:
            return
        (self._state / RECORD).unlink(missing_ok=True)
        os.close(self._handle)
        self._handle = None
