"""Which schema a database file has, read with the standard library only, before anything heavy is imported."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Literal

from hostler import log

HEAD = "0003"
"""The newest migration; a test compares it with the migrations folder."""

FileState = Literal["fresh", "current", "outdated", "corrupt"]

_BROKEN = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def inspect(path: Path) -> FileState:
    """What the file at ``path`` is: nothing yet, at :data:`HEAD`, of another version, or not a database.

    Raises OSError or sqlite3.OperationalError when it cannot be read at all.
    """
    if not path.exists() or path.stat().st_size == 0:
        return "fresh"
    try:
        with closing(sqlite3.connect(path, timeout=5)) as connection:
            return "current" if _version(connection) == HEAD else "outdated"
    except sqlite3.DatabaseError as failure:
        if is_corruption(failure):
            return "corrupt"
        raise


def is_corruption(failure: BaseException | None) -> bool:
    """Whether SQLite says that the file itself is broken."""
    return getattr(failure, "sqlite_errorcode", 0) & 0xFF in _BROKEN


def move_aside(path: Path) -> None:
    """Rename a broken database and its companions, so that the next start makes a new one."""
    aside = path.with_name(f"{path.name}.corrupt-{time.time_ns()}")
    path.replace(aside)
    for suffix in ("-wal", "-shm"):
        companion = path.with_name(path.name + suffix)
        if companion.exists():
            companion.replace(aside.with_name(aside.name + suffix))
    log.error("store.corrupt", file=str(path), moved_to=str(aside))


def _version(connection: sqlite3.Connection) -> str | None:
    table = connection.execute("SELECT 1 FROM sqlite_master WHERE type='table' AND name='alembic_version'").fetchone()
    row = connection.execute("SELECT version_num FROM alembic_version").fetchone() if table else None
    return str(row[0]) if row else None
