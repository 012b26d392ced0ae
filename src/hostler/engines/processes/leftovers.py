"""What a program started in sessions of its own: no signal to its group reaches that, so it is found by a mark.

The mark is in the program's environment, which everything that it starts inherits.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Iterable, Iterator
from typing import Final

import anyio.to_thread
import msgspec
import psutil

#: Not one of our settings: whatever the program starts would read those.
MARK: Final = "STARTED_BY_HOSTLER"
POLL_S: Final = 0.02


class Leftovers(msgspec.Struct, frozen=True):
    """What was found, as ``name (pid 123)``; ``left`` of them are there still."""

    found: tuple[str, ...] = ()
    left: tuple[str, ...] = ()

    @property
    def told(self) -> str:
        """In words."""
        if self.left:
            return f"outlived it and cannot be ended: {', '.join(self.left)}"
        return f"had been started beside it and was ended too: {', '.join(self.found)}"


async def end_marked(mark: str, grace_s: float, kill_s: float) -> Leftovers:
    """Terminate, grace, kill every process with that mark. Bounded; for our own user's processes."""
    return await anyio.to_thread.run_sync(_end_marked, mark, grace_s, kill_s)


def _end_marked(mark: str, grace_s: float, kill_s: float) -> Leftovers:
    there = list(_marked(mark))
    found = tuple(map(_called, there))
    for number, patience_s in ((signal.SIGTERM, grace_s), (signal.SIGKILL, kill_s)):
        if not there:
            break
        _signal(there, number)
        _await(there, patience_s)
        there = list(_marked(mark))
    return Leftovers(found, tuple(map(_called, there)))


def _await(there: list[psutil.Process], patience_s: float) -> None:
    """Until all have ended; those that are ours are reaped. Whoever else's parent may leave it a zombie for ever."""
    until = time.monotonic() + patience_s
    while there and time.monotonic() < until:
        _, waited_for = psutil.wait_procs(there, timeout=POLL_S)
        there = [process for process in waited_for if not _ended(process)]


def _ended(process: psutil.Process) -> bool:
    try:
        return bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return True


def _marked(mark: str) -> Iterator[psutil.Process]:
    for pid in _candidates(mark):
        with contextlib.suppress(psutil.Error, OSError):
            process = psutil.Process(pid)
            # Once more: the pid may be another's by now. From here on it is one process, whatever becomes of its pid.
            if process.environ().get(MARK) == mark and not _ended(process):
                yield process


def _candidates(mark: str) -> Iterable[int]:
    return _with_mark(f"{MARK}={mark}".encode()) if sys.platform == "linux" else psutil.pids()


def _with_mark(text: bytes) -> Iterator[int]:
    """A few microseconds for each process of the machine; psutil takes ten times as long."""
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError), open(f"/proc/{name}/environ", "rb") as file:
                if text in file.read():
                    yield int(name)


def _signal(processes: Iterable[psutil.Process], number: int) -> None:
    for process in processes:
        with contextlib.suppress(psutil.Error):
            process.send_signal(number)


def _called(process: psutil.Process) -> str:
    try:
        return f"{process.name()} (pid {process.pid})"
    except psutil.Error:
        return f"pid {process.pid}"
