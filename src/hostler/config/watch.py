"""Notices that the configuration file has changed, by looking at it; no dependency, any file system."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import anyio
import msgspec

Stamp = tuple[int, int, int]

ABSENT: Stamp = (0, 0, 0)


class Watching(msgspec.Struct, frozen=True):
    """What is known of the file: the stamp last reported, and a newer one that was seen once."""

    reported: Stamp
    pending: Stamp | None = None


def stamp(file: Path) -> Stamp:
    """Modification time (ns), size and inode; ABSENT while there is no such file."""
    try:
        status = os.stat(file)
    except OSError:
        return ABSENT
    return status.st_mtime_ns, status.st_size, status.st_ino


def look(known: Watching, seen: Stamp) -> tuple[Watching, bool]:
    """The next state, and whether to report a change.

    A stamp is reported when it was seen twice in a row, so that a file is not read while it is being written.
    A missing file is never reported: editors replace files by removing them first.
    """
    if seen == ABSENT or seen == known.reported:
        return Watching(known.reported), False
    if seen == known.pending:
        return Watching(seen), True
    return Watching(known.reported, seen), False


async def watch(
    file: Path,
    on_change: Callable[[], Awaitable[None]],
    interval_s: float = 1.0,
    since: Stamp | None = None,
) -> None:
    """Call ``on_change`` after each change of ``file``; runs until cancelled.

    ``since`` is the file's :func:`stamp` from before it was last read (default: as it is now), so that a
    change between reading and watching is seen. An error out of ``on_change`` ends the watch.
    """
    known = Watching(stamp(file) if since is None else since)
    while True:
        await anyio.sleep(interval_s)
        known, changed = look(known, stamp(file))
        if changed:
            await on_change()
