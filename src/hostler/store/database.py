"""Open the database: create, migrate or replace the file, then one connection. For the writer thread only.

Importing this module imports SQLAlchemy; :mod:`hostler.store.writer` does so inside its thread.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

from sqlalchemy import URL, Connection, Engine, create_engine, event, pool, text
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry

from hostler import log
from hostler.errors import StoreUnavailable
from hostler.store.schema import metadata
from hostler.store.version import HEAD, inspect, move_aside

MIGRATION_S = 600.0
#: A larger file is not made anew: that would hold up whoever wants to write for seconds.
ANEW_BYTES = 128 * 2**20
#: What its log of writes may keep of a disk once that is written back, after one that was large.
LOG_BYTES = 4 * 2**20


def connect(path: Path) -> Connection:
    """A connection to the database at ``path``, at the newest schema and readable by its owner only.

    A corrupt file is moved aside and a new one started. Raises StoreUnavailable when a migration fails,
    OSError or a database error when the folder cannot be used.
    """
    state = inspect(path)
    if state == "corrupt":
        move_aside(path)
        state = "fresh"
    _own(path)
    if state == "outdated":
        _migrate(path)
    engine = _engine(path)
    if state == "fresh":
        _create(engine)
    return engine.connect()


def close(connection: Connection) -> None:
    """Close the connection and everything behind it."""
    connection.close()
    connection.engine.dispose()


def let_shrink(connection: Connection) -> bool:
    """Make a file that an older version began one that gives its free space back; whether it was made anew for that.

    Nothing happens to one that does already, that is larger than :data:`ANEW_BYTES`, that has no room beside it, or
    that cannot be made anew now (somebody else writes to it, temporary files find no room): it serves as it is.
    """
    pages, page_bytes, mode = (_pragma(connection, name) for name in ("page_count", "page_size", "auto_vacuum"))
    size = pages * page_bytes
    if mode or size > ANEW_BYTES or shutil.disk_usage(str(connection.engine.url.database)).free < 3 * size:
        return False
    cursor = connection.connection.cursor()
    try:
        cursor.execute("PRAGMA auto_vacuum=INCREMENTAL")
        cursor.execute("VACUUM")
    except sqlite3.OperationalError as failure:
        log.info("store.not_made_anew", bytes=size, reason=str(failure))
        return False
    finally:
        cursor.close()
    log.info("store.made_anew", bytes=size, left=_pragma(connection, "page_count") * page_bytes)
    return True


def _pragma(connection: Connection, name: str) -> int:
    return int(connection.exec_driver_sql(f"PRAGMA {name}").scalar_one())


def _own(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))


def _engine(path: Path) -> Engine:
    engine = create_engine(URL.create("sqlite", database=str(path)), poolclass=pool.NullPool)
    event.listen(engine, "connect", _tune)
    return engine


def _tune(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
    cursor = connection.cursor()
    # The first counts only before anything is in the file: space that the ledger gives up can then leave it in steps.
    tuning = (
        "auto_vacuum=INCREMENTAL",
        "journal_mode=WAL",
        "synchronous=FULL",
        "busy_timeout=5000",
        "cache_size=-1024",
        f"journal_size_limit={LOG_BYTES}",
    )
    for pragma in tuning:
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _create(engine: Engine) -> None:
    with engine.begin() as connection:
        metadata.create_all(connection)
        connection.execute(text("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)"))
        connection.execute(text("INSERT INTO alembic_version VALUES (:head)"), {"head": HEAD})


def _migrate(path: Path) -> None:
    log.info("store.migrating", file=str(path), to=HEAD)
    command = [sys.executable, "-m", "hostler.store.migrate", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=MIGRATION_S, check=False)
    if done.returncode != 0:
        last = done.stderr.strip().splitlines()[-1:] or [f"status {done.returncode}"]
        raise StoreUnavailable(
            f"The database {path} cannot be brought to schema {HEAD}: {last[0]}",
            hint="If a newer Hostler wrote it, use that one; else move the file away and a new one is started.",
        )
