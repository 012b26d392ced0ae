"""The page cache before and after a load: files are read ahead, or forgotten, without anyone reading them."""

from __future__ import annotations

import os
import struct
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final

#: One piece of advice; between two of them other readers get their turn.
PIECE: Final = 64 * 2**20

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
        for offset in range(0, size, PIECE):
            _will_need(handle, offset, min(PIECE, size - offset))
        return size
    finally:
        os.close(handle)


def _will_need(handle: int, offset: int, size: int) -> None:
    if sys.platform == "darwin":
        import fcntl

        fcntl.fcntl(handle, _F_RDADVISE, struct.pack("@qi4x", offset, size))
    else:
        os.posix_fadvise(handle, offset, size, os.POSIX_FADV_WILLNEED)


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
