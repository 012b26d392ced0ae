"""The files of saved slots: 0600 in a folder 0700, each with its description beside it, checksummed.

`ID.bin` is the slot, `ID.json` says whose it is; only both together count. Everything here blocks and raises OSError.
Calls that change something are made one at a time.
"""

from __future__ import annotations

import os
import secrets
import shutil
import zlib
from collections.abc import Iterable
from pathlib import Path

import msgspec

from hostler.fleet.prompts.entries import Entry, continues, head_size, marks, tokens_in

_SALT = "salt"
_PIECE = 2**20


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    """A slot that was just written and is not yet described; the fields are those of :class:`Entry`."""

    file: Path
    key: str
    tenant: str
    profile: str
    tokens: int
    bytes: int
    saved_at: float
    computing_s: float


class Shelf:
    """All saved slots of one home."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._entries: dict[str, Entry] = {}
        self._salt = b""

    def open(self) -> int:
        """Read what is there; how many files were broken and removed."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.folder.chmod(0o700)
        self._salt = self._own_salt()
        self._entries, broken = {}, 0
        for described in sorted(self.folder.glob("*.json")):
            entry = self._described(described)
            if entry is None:
                broken += 1
                described.unlink(missing_ok=True)
            else:
                self._entries[entry.id] = entry
        for file in [*self.folder.glob("*.bin"), *self.folder.glob("*.part")]:
            if file.suffix == ".part" or file.stem not in self._entries:
                file.unlink(missing_ok=True)
        return broken

    @property
    def entries(self) -> list[Entry]:
        """Everything that is kept. May be called in any thread."""
        return list(self._entries.values())

    @property
    def total(self) -> int:
        """Bytes of everything that is kept."""
        return sum(entry.bytes for entry in self.entries)

    def free(self) -> int:
        """Bytes free on the disk."""
        return shutil.disk_usage(self.folder).free

    def adopt(self, file: Path) -> Path:
        """Take a file that an engine wrote, by renaming; the path it has now."""
        file.chmod(0o600)
        part = self.folder / f"{secrets.token_hex(8)}.part"
        os.replace(file, part)
        return part

    def seal(self, draft: Draft) -> Entry:
        """Describe and keep an adopted file; those of the same conversation that it continues are removed."""
        with draft.file.open("rb") as file:
            head = file.read(head_size(draft.tokens))
        entry = Entry(
            id=draft.file.stem,
            key=draft.key,
            tenant=draft.tenant,
            profile=draft.profile,
            tokens=draft.tokens,
            bytes=draft.file.stat().st_size,
            checksum=_checksum(draft.file),
            saved_at=draft.saved_at,
            used_at=draft.saved_at,
            computing_s=draft.computing_s,
            marks=marks(tokens_in(head, draft.tokens), self._salt),
        )
        os.replace(draft.file, self._file(entry))
        before = [each for each in self.entries if continues(entry, each)]
        hits, saved_s = sum(each.hits for each in before), sum(each.saved_s for each in before)
        entry = msgspec.structs.replace(entry, hits=hits, saved_s=saved_s)
        self.put(entry)
        self.drop(before)
        return entry

    def put(self, entry: Entry) -> None:
        """Write the description anew, atomically."""
        target = self.folder / f"{entry.id}.json"
        part = target.with_suffix(".part")
        part.touch(mode=0o600)
        part.write_bytes(msgspec.json.encode(entry))
        os.replace(part, target)
        self._entries[entry.id] = entry

    def get(self, name: str) -> Entry | None:
        return self._entries.get(name)

    def find(self, key: str, tenant: str) -> list[Entry]:
        """What was saved under that key for that tenant and nobody else, the most recently used first."""
        found = [entry for entry in self.entries if entry.key == key and entry.tenant == tenant]
        return sorted(found, key=lambda entry: entry.used_at, reverse=True)

    def intact(self, entry: Entry) -> bool:
        """Whether the file still is what was saved."""
        try:
            file = self._file(entry)
            return file.stat().st_size == entry.bytes and _checksum(file) == entry.checksum
        except FileNotFoundError:
            return False

    def lend(self, entry: Entry, target: Path) -> None:
        """Let an engine read the file as ``target``; removing that leaves the shelf as it is."""
        target.unlink(missing_ok=True)
        try:
            os.link(self._file(entry), target)
        except OSError:  # a file system without hard links
            shutil.copyfile(self._file(entry), target)
            target.chmod(0o600)

    def drop(self, entries: Iterable[Entry]) -> None:
        """Remove them, the description first: what is left half done counts for nothing."""
        for entry in entries:
            self._entries.pop(entry.id, None)
            (self.folder / f"{entry.id}.json").unlink(missing_ok=True)
            self._file(entry).unlink(missing_ok=True)

    def _file(self, entry: Entry) -> Path:
        return self.folder / f"{entry.id}.bin"

    def _described(self, path: Path) -> Entry | None:
        try:
            entry = msgspec.json.decode(path.read_bytes(), type=Entry)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return None
        whole = entry.id == path.stem and self._file(entry).is_file()
        return entry if whole and self._file(entry).stat().st_size == entry.bytes else None

    def _own_salt(self) -> bytes:
        """What marks are made with; without it they would tell whether a known text was asked."""
        file = self.folder / _SALT
        try:
            salt = file.read_bytes()
        except FileNotFoundError:
            salt = b""
        if len(salt) != 32:
            salt = secrets.token_bytes(32)
            file.touch(mode=0o600)
            file.write_bytes(salt)
        return salt


def _checksum(path: Path) -> int:
    """CRC-32 of the whole file: it has to find what a disk spoils, not what somebody forges."""
    value = 0
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            value = zlib.crc32(piece, value)
    return value
