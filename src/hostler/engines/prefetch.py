"""The page cache before and after a load: files are read ahead, or forgotten, without anyone reading them."""

from __future__ import annotations

import os
import struct
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final

#: Of the memory that nobody needs: what is read ahead must push nothing out.
SHARE: Final = 0.5
#: What is looked at at once.
BLOCK: Final = 16 * 2**20
#: One piece of advice. Linux reads no more of one than its window, which is at least this, and forgets the rest.
PIECE: Final = 128 * 2**10
CHUNK: Final = 2**20

# macOS: fcntl.F_RDADVISE is missing from Python's module; struct radvisory { off_t ra_offset; int ra_count; }.
_F_RDADVISE: Final = 44


def read_ahead(files: Iterable[Path], limit: int) -> int:
    """Have the kernel read ``files``, in order, at most ``limit`` bytes of them; how many were asked for.

    Pages that are there already cost nothing. Blocking (a queue of reads can fill up); a file that cannot be opened
    is passed over, its load will say why.
    """
    asked = 0
    for file in files:
        try:
            asked += _advise(file, limit - asked)
        except OSError:
            continue
    return asked


def _advise(file: Path, limit: int) -> int:
    handle = os.open(file, os.O_RDONLY)
    try:
        size = min(os.fstat(handle).st_size, max(0, limit))
        for start in range(0, size, BLOCK):
            end = min(start + BLOCK, size)
            if not (_is_there(handle, start) and _is_there(handle, end - 1)):
                for offset in range(start, end, PIECE):
                    _will_need(handle, offset, min(PIECE, end - offset))
        return size
    finally:
        os.close(handle)


def _is_there(handle: int, offset: int) -> bool:
    """Whether that byte is in the page cache, as far as the system tells: advice about gigabytes that are there
    takes a processor up for nothing."""
    if sys.platform != "linux":
        return False
    try:
        return os.preadv(handle, [bytearray(1)], offset, os.RWF_NOWAIT) > 0
    except OSError:
        return False


def share_in_cache(files: Iterable[Path], looks: int = 64) -> float | None:
    """How much of ``files`` is in the page cache, 0 to 1, by that many looks; None where the system does not tell, and
    where none of them is there.

    Reads nothing from the disk.
    """
    if sys.platform != "linux":
        return None
    there = seen = opened = 0
    for file in files:
        try:
            handle = os.open(file, os.O_RDONLY)
        except OSError:
            seen += looks
            continue
        opened += 1
        try:
            size = os.fstat(handle).st_size
            found = [_is_there(handle, size * (2 * n + 1) // (2 * looks)) for n in range(looks)] if size else [True]
            seen, there = seen + len(found), there + sum(found)
        finally:
            os.close(handle)
    return there / seen if opened else None


def _will_need(handle: int, offset: int, size: int) -> None:
    if sys.platform == "darwin":
        import fcntl

        fcntl.fcntl(handle, _F_RDADVISE, struct.pack("@qi4x", offset, size))
    else:
        os.posix_fadvise(handle, offset, size, os.POSIX_FADV_WILLNEED)


def fill(files: Iterable[Path]) -> None:
    """Read ``files`` whole, so that they are in the page cache as far as it goes. Blocking, as long as the disk takes.

    A file that cannot be read is passed over.
    """
    buffer = bytearray(CHUNK)
    for file in files:
        try:
            with file.open("rb", buffering=0) as source:
                while source.readinto(buffer):
                    pass
        except OSError:
            continue


def forget(files: Iterable[Path]) -> bool:
    """Drop ``files`` from the page cache, as far as nobody maps them; False where the system has no way to."""
    if sys.platform == "darwin":
        return False
    for file in files:
        try:
            handle = os.open(file, os.O_RDONLY)
        except OSError:
            continue
        try:
            os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(handle)
    return True
