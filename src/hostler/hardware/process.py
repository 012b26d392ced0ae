"""What a running process holds, who it is, and who listens on a port."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
import psutil

_START_TOLERANCE_S = 0.5


class ProcessMemory(msgspec.Struct, frozen=True):
    """Bytes of RAM that a process and its descendants hold.

    ``anonymous`` is memory of their own, ``shared`` shared memory. ``file_backed`` is the resident part of
    the named model files; the kernel can take it back.
    """

    anonymous: int
    shared: int
    file_backed: int

    @property
    def total(self) -> int:
        """All three together."""
        return self.anonymous + self.shared + self.file_backed


class _Status(NamedTuple):
    anonymous: int
    shared: int
    file: int


def resident(pid: int, files: Sequence[Path] = ()) -> ProcessMemory | None:
    """What ``pid`` and its descendants hold now; None when it is gone. Under 1 ms, whatever the model's size.

    Linux: ``RssAnon``, ``RssShmem`` and ``RssFile`` of /proc/PID/status. ``RssFile`` holds the program's own
    libraries too (about 20 MiB), so it is cut at the size of ``files``: exact when they are wholly resident,
    at most that much too high before. (/proc/PID/smaps would tell exactly, but walks every page: 6 ms for a
    250 MB model, far more for a large one.) Elsewhere the resident set size, all of it as ``anonymous``.
    """
    family = [pid, *children(pid)]
    if not sys.platform.startswith("linux"):
        return _portable(family)
    held = [status for status in map(_status, family) if status is not None]
    if not held:
        return None
    anonymous, shared, file = (sum(column) for column in zip(*held, strict=True))
    return ProcessMemory(anonymous, shared, min(file, _size(files)))


def _portable(family: Iterable[int]) -> ProcessMemory | None:
    held = []
    for pid in family:
        try:
            held.append(psutil.Process(pid).memory_info().rss)
        except (psutil.Error, OverflowError, ValueError):
            continue
    return ProcessMemory(sum(held), 0, 0) if held else None


def _status(pid: int) -> _Status | None:
    """None for a process that is gone or a zombie."""
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return None
    fields = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    if "RssAnon" not in fields:
        return None
    return _Status(*(_kib(fields.get(name, "0 kB")) for name in ("RssAnon", "RssShmem", "RssFile")))


def _kib(text: str) -> int:
    return int(text.split()[0]) * 1024


def _size(files: Sequence[Path]) -> int:
    total = 0
    for path in files:
        try:
            total += os.stat(path).st_size
        except OSError:
            continue
    return total


def children(pid: int) -> list[int]:
    """The pids of all living descendants; an engine behind a shim is one."""
    if not os.path.exists("/proc/self/task") or (direct := _direct_children(pid)) is None:
        return _scanned_children(pid)
    return [member for child in direct for member in (child, *children(child))]


def _direct_children(pid: int) -> list[int] | None:
    """From /proc/PID/task/*/children, a few reads; None when this kernel does not keep them."""
    found = []
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            try:
                found += [int(text) for text in Path(f"/proc/{pid}/task/{task}/children").read_text().split()]
            except FileNotFoundError:
                if os.path.exists(f"/proc/{pid}/task/{task}"):
                    return None
    except OSError:  # it ended
        return []
    return found


def _scanned_children(pid: int) -> list[int]:
    """By looking at every process of the machine."""
    try:
        return [child.pid for child in psutil.Process(pid).children(recursive=True)]
    except (psutil.Error, OverflowError, ValueError):
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
            return called(connection.pid)
    return None


def called(pid: int | None) -> str:
    """``name (pid 123)``."""
    if pid is None:
        return "a process of another user"
    try:
        return f"{psutil.Process(pid).name()} (pid {pid})"
    except psutil.Error:
        return f"pid {pid}"
