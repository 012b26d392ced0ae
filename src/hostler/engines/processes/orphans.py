"""Records of running engine processes, so that the next start can end what a killed gateway left behind.

The second line of defence: an engine ends with its gateway by itself (:mod:`hostler.engines.processes.parent`). What a
program started beside itself (a container) does not; for that its record keeps how it wants to be stopped.
"""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

import anyio
import msgspec

from hostler.engines.processes.group import ask_to_stop
from hostler.engines.processes.leftovers import end_marked
from hostler.hardware.process import is_same_process

#: What a program's own way to stop may take; a container gets ten seconds from `docker stop`.
STOP_S = 15.0
GRACE_S = 3.0
KILL_S = 2.0
POLL_S = 0.02

_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """A process: ``pid`` alone names nothing, ``pid`` and ``started`` together name one process for ever.

    ``stop`` is the program's own way to stop, run whether the process is still there or not; ``mark`` is in the
    environment of all that it started, "" where that is not known.
    """

    pid: int
    started: float
    instance: str
    profile: str
    argv0: str
    stop: tuple[str, ...] = ()
    mark: str = ""


class Records:
    """One small file per running engine in ``state``/engines. Loses a record rather than an engine's run."""

    def __init__(self, state: Path) -> None:
        self._folder = state / "engines"

    def write(self, record: Record) -> bool:
        """Keep ``record``; False when the folder cannot be written."""
        file = self._file(record.instance)
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            fresh = file.with_suffix(".new")
            fresh.touch(mode=0o600)  # a command to stop may hold the key of its engine
            fresh.write_bytes(msgspec.json.encode(record))
            fresh.replace(file)
        except OSError:
            return False
        return True

    def remove(self, instance: str) -> None:
        """Forget the process of ``instance``."""
        try:
            self._file(instance).unlink(missing_ok=True)
        except OSError:
            return

    def all(self) -> list[Record]:
        """Every readable record; an unreadable one is deleted."""
        found: list[Record] = []
        for file in sorted(self._folder.glob("*.json")):
            try:
                found.append(msgspec.json.decode(file.read_bytes(), type=Record))
            except (OSError, msgspec.MsgspecError):
                file.unlink(missing_ok=True)
        return found

    async def end_orphans(self) -> list[Record]:
        """End every recorded process that still is the recorded one; returns those that were ended or told to stop.

        Called once at start, by the only gateway of this state folder. Never looks at names: pid and start
        time must both match. A process that outlives SIGKILL keeps its record for the next start.
        """
        ended: list[Record] = []

        async def end(record: Record) -> None:
            if await _end(record):
                ended.append(record)
            if not is_running(record):
                self.remove(record.instance)

        async with anyio.create_task_group() as each:
            for record in self.all():
                each.start_soon(end, record)
        return ended

    def _file(self, instance: str) -> Path:
        return self._folder / f"{_UNSAFE.sub('_', instance)}.json"


def is_running(record: Record) -> bool:
    """Whether the recorded process, and not a later one with its pid, is there."""
    return record.pid > 1 and is_same_process(record.pid, record.started)


async def _end(record: Record) -> bool:
    """Whether there was something to end."""
    running = is_running(record)
    told = bool(record.stop) and await _told_to_stop(record, record.pid if running else None)
    await _signal(record)
    beside = (await end_marked(record.mark, GRACE_S, KILL_S)).found if record.mark else ()
    return running or told or bool(beside)


async def _told_to_stop(record: Record, pid: int | None) -> bool:
    with anyio.move_on_after(STOP_S):
        return await ask_to_stop(record.stop, pid)
    return True


async def _signal(record: Record) -> None:
    for number, patience_s in ((signal.SIGTERM, GRACE_S), (signal.SIGKILL, KILL_S)):
        if not is_running(record):
            return
        _signal_group(record.pid, number)
        with anyio.move_on_after(patience_s):
            while is_running(record):  # noqa: ASYNC110 - not our child: nothing tells us of its end
                await anyio.sleep(POLL_S)


def _signal_group(pid: int, number: int) -> None:
    """To its group when it leads one, as engines do; else to itself."""
    try:
        if os.getpgid(pid) == pid:
            os.killpg(pid, number)
        else:
            os.kill(pid, number)
    except (ProcessLookupError, PermissionError):
        return
