"""What a running process holds, who it is, and who listens on a port."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec
import psutil

_START_TOLERANCE_S = 0.5


class ProcessMemory(msgspec.Struct, frozen=True):
    """Bytes of RAM that a process and its descendants hold.

    ``anonymous`` is memory of their own, ``shared`` shared memory. ``file_backed`` is the resident part of
    the named model files, each byte once however many processes map it; the kernel can take it back.
    """

    anonymous: int
    shared: int
    file_backed: int

    @property
    def total(self) -> int:
        """All three together."""
        return self.anonymous + self.shared + self.file_backed


def resident(pid: int, files: Sequence[Path] = ()) -> ProcessMemory | None:
    """What ``pid`` and its descendants hold now; None when it is gone.

    Linux: ``RssAnon`` and ``RssShmem`` of /proc/PID/status, and Rss of the mappings of ``files`` in
    /proc/PID/smaps (0.3 ms for an engine with a 250 MB model, 2 ms after a long run; at most once a second,
    please). Elsewhere the resident set size, all of it as ``anonymous``.
    """
    family = [pid, *children(pid)]
    if not sys.platform.startswith("linux"):
        return _portable(family)
    own = [held for held in map(_status, family) if held is not None]
    if not own:
        return None
    wanted = _identities(files)
    mapped: dict[tuple[str, str], int] = {}
    for member in family if wanted else ():
        for place, held in _mapped(member, wanted).items():
            mapped[place] = max(mapped.get(place, 0), held)
    return ProcessMemory(sum(item[0] for item in own), sum(item[1] for item in own), sum(mapped.values()))


def _portable(family: Iterable[int]) -> ProcessMemory | None:
    held = []
    for pid in family:
        try:
            held.append(psutil.Process(pid).memory_info().rss)
        except psutil.Error:
            continue
    return ProcessMemory(sum(held), 0, 0) if held else None


def _status(pid: int) -> tuple[int, int] | None:
    """(RssAnon, RssShmem) in bytes; None for a process that is gone or a zombie."""
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return None
    fields = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    if "RssAnon" not in fields:
        return None
    return _kib(fields["RssAnon"]), _kib(fields.get("RssShmem", "0 kB"))


def _kib(text: str) -> int:
    return int(text.split()[0]) * 1024


def _identities(files: Sequence[Path]) -> set[int]:
    """Inodes of the files; the device is left out, as overlay file systems show another one in /proc."""
    found = set()
    for path in files:
        try:
            found.add(os.stat(path).st_ino)
        except OSError:
            continue
    return found


def _mapped(pid: int, inodes: set[int]) -> dict[tuple[str, str], int]:
    """Resident bytes of each mapping of those files, by (device:inode, offset)."""
    held: dict[tuple[str, str], int] = {}
    place: tuple[str, str] | None = None
    try:
        with open(f"/proc/{pid}/smaps") as smaps:
            for line in smaps:
                if place is not None and line.startswith("Rss:"):
                    held[place] = held.get(place, 0) + _kib(line[4:])
                    place = None
                elif line[0] in "0123456789abcdef":
                    place = _place(line, inodes)
    except OSError:  # it ended, or belongs to someone else
        return held
    return held


def _place(line: str, inodes: set[int]) -> tuple[str, str] | None:
    """From ``from-to perms offset device inode path``."""
    fields = line.split(None, 5)
    return (f"{fields[3]}:{fields[4]}", fields[2]) if len(fields) > 5 and int(fields[4]) in inodes else None


def children(pid: int) -> list[int]:
    """The pids of all living descendants; an engine behind a shim is one."""
    try:
        return [child.pid for child in psutil.Process(pid).children(recursive=True)]
    except psutil.Error:
        return []


def process_start_time(pid: int) -> float | None:
    """When ``pid`` started, in seconds since the Unix epoch; None when there is no such process.

    A zombie counts as gone: it holds nothing and cannot be ended.
    """
    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else process.create_time()
    except (psutil.Error, OverflowError, ValueError):
        return None


def is_same_process(pid: int, start: float) -> bool:
    """Whether ``pid`` is still the process that started at ``start`` (pids are used again)."""
    now = process_start_time(pid)
    return now is not None and abs(now - start) <= _START_TOLERANCE_S


def who_listens(port: int) -> str | None:
    """The process that listens on TCP ``port``, as ``name (pid 123)``; None when nobody does.

    Another user's process can be seen but not named: ``a process of another user``.
    """
    try:
        connections = psutil.net_connections("tcp")
    except psutil.Error:  # macOS needs more rights for this
        return None
    for connection in connections:
        if connection.status == psutil.CONN_LISTEN and connection.laddr and connection.laddr.port == port:
            return _called(connection.pid)
    return None


def _called(pid: int | None) -> str:
    if pid is None:
        return "a process of another user"
    try:
        return f"{psutil.Process(pid).name()} (pid {pid})"
    except psutil.Error:
        return f"pid {pid}"
