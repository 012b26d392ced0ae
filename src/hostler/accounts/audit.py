"""Who did what, and when: a line of JSON for each act, in a file that only its owner reads.

The gateway and the command line write to the same file, which is why it is none of the ledger's. It is bounded: at
:data:`LARGEST` bytes it becomes `audit.jsonl.1`, whose place it takes.
"""

from __future__ import annotations

import fcntl
import getpass
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import anyio
import msgspec

from hostler import log
from hostler.events import Bus, ConfigReloaded
from hostler.store.watching import trouble_in
from hostler.wire.audit import AuditRecord

FILE_NAME: Final = "audit.jsonl"
LARGEST: Final = 2**20
LONGEST: Final = 300

_decoder = msgspec.json.Decoder(AuditRecord)


class Audit:
    """The file at ``path``, and the one before it."""

    def __init__(self, path: Path, *, largest: int = LARGEST) -> None:
        self._path = path
        self._before = path.with_name(f"{path.name}.1")
        self._largest = largest
        #: Why the last record could not be written; "" when it was, or could be by now.
        self.problem = ""

    def write(self, record: AuditRecord) -> None:
        """Add a record. One that cannot be written is told in the log, and stops nothing."""
        try:
            handle = self._open()
            try:
                os.write(handle, _apart(handle) + msgspec.json.encode(_short(record)) + b"\n")
            finally:
                os.close(handle)
            self.problem = ""
        except OSError as error:
            self.problem = error.strerror or str(error)
            log.warning("audit.unwritable", file=str(self._path), reason=self.problem)

    def try_again(self) -> None:
        """See whether a record could be written now, after one could not. Blocking."""
        try:
            os.close(self._open())
            self.problem = trouble_in(self._path.parent)
        except OSError as error:
            self.problem = error.strerror or str(error)

    async def note(self, record: AuditRecord) -> None:
        """The same, off the event loop."""
        await anyio.to_thread.run_sync(self.write, record)

    def recent(self, limit: int = 100) -> list[AuditRecord]:
        """The newest ``limit`` records, newest first."""
        found: list[AuditRecord] = []
        for path in (self._path, self._before):
            if len(found) < limit:
                found += reversed(list(_records(path)))
        return found[:limit]

    async def follow(self, bus: Bus) -> None:
        """Write what the configuration becomes, whoever changed it, until cancelled."""
        seen = bus.last_id
        while True:
            await bus.changed(seen)
            events, seen = bus.rare_since(seen), bus.last_id  # before a row is written: others may happen meanwhile
            for event in events:
                if isinstance(event, ConfigReloaded):
                    await self.note(_changed(event))
            await anyio.sleep(0.1)  # as rarely as the log looks: requests must not wake it once each

    def _open(self) -> int:
        """A handle to write to, locked; a file that is full has been put aside."""
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        while True:
            handle = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(handle, fcntl.LOCK_EX)
            size = os.fstat(handle).st_size
            if size < self._largest:
                return handle
            if _is(self._path, handle):
                self._path.replace(self._before)
            os.close(handle)


def by_command(action: str, target: str, detail: str = "") -> AuditRecord:
    """A record of what a command does without a gateway."""
    try:
        who = getpass.getuser()
    except (KeyError, OSError):  # a user without a name
        who = str(os.getuid())
    return AuditRecord(at=time.time(), who=who, via="cli", action=action, target=target, detail=detail)


def _changed(event: ConfigReloaded) -> AuditRecord:
    parts = (("added", event.added), ("changed", event.changed), ("removed", event.removed))
    detail = "; ".join(f"{word} {', '.join(names)}" for word, names in parts if names)
    return AuditRecord(at=event.at, who="", via="file", action="config", detail=detail)


def _apart(handle: int) -> bytes:
    """What keeps the next line from one that a crash or a full disk cut off."""
    size = os.fstat(handle).st_size
    return b"\n" if size and os.pread(handle, 1, size - 1) != b"\n" else b""


def _is(path: Path, handle: int) -> bool:
    """Whether ``path`` is still the file that was opened; another process may have put it aside meanwhile."""
    try:
        return os.path.samestat(path.stat(), os.fstat(handle))
    except FileNotFoundError:
        return False


def _short(record: AuditRecord) -> AuditRecord:
    return msgspec.structs.replace(record, target=record.target[:LONGEST], detail=record.detail[:LONGEST])


def _records(path: Path) -> Iterator[AuditRecord]:
    """Oldest first; a line that a crash cut off is left out."""
    try:
        lines = path.read_bytes().splitlines()
    except FileNotFoundError:
        return
    for line in lines:
        try:
            yield _decoder.decode(line)
        except msgspec.DecodeError:
            continue
