"""The database file: private, migrated by a child, replaced when broken, never by chance."""

from __future__ import annotations

import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, text

from hostler.errors import StoreUnavailable
from hostler.store import database, migrate, schema, version
from hostler.store.writer import Writer

pytestmark = pytest.mark.anyio


@pytest.fixture
def path(home: Path) -> Path:
    return home / "state" / "hostler.db"


def tables(connection: Connection) -> set[str]:
    return set(inspect(connection).get_table_names())


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def spoil(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"this is no database at all" * 100)


def fill(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE filler (x)")
        connection.executemany("INSERT INTO filler VALUES (?)", [("x" * 1000,) for _ in range(100)])
        connection.commit()
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def damage_last_page(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(path.stat().st_size - 4096)
        file.write(b"\xff" * 4096)


async def opened(path: Path) -> set[str]:
    writer = Writer(path, retry_s=0)
    writer.start()
    try:
        return await writer.run(tables)
    finally:
        await writer.close()


def test_head_is_the_newest_migration(path: Path) -> None:
    script = ScriptDirectory.from_config(migrate.alembic_config(path))
    assert script.get_current_head() == version.HEAD


def test_migrations_lead_to_the_schema(path: Path) -> None:
    path.parent.mkdir()
    assert migrate.main([str(path)]) == 0
    assert version.inspect(path) == "current"
    connection = database.connect(path)
    assert compare_metadata(MigrationContext.configure(connection), schema.metadata) == []
    database.close(connection)


async def test_a_fresh_file_is_private_and_current(path: Path) -> None:
    assert await opened(path) == {"requests", "days", "alembic_version"}
    assert mode(path) == 0o600
    assert version.inspect(path) == "current"


def test_sqlalchemy_is_not_imported_by_the_writer_module() -> None:
    code = (
        "import sys, hostler.store.writer, hostler.ledger.recorder, hostler.ledger.queries\n"
        "sys.exit('sqlalchemy' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


async def test_an_outdated_file_is_migrated_by_a_child(path: Path) -> None:
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE older (x)")
        connection.commit()
    assert version.inspect(path) == "outdated"
    assert await opened(path) == {"requests", "days", "alembic_version", "older"}
    assert version.inspect(path) == "current"


async def test_a_newer_file_is_left_alone(path: Path) -> None:
    await opened(path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
        connection.commit()
    with pytest.raises(StoreUnavailable, match="9999"):
        await opened(path)
    assert [each.name for each in path.parent.iterdir()] == ["hostler.db"]


async def test_a_corrupt_file_is_moved_aside(path: Path) -> None:
    spoil(path)
    assert "requests" in await opened(path)
    aside = [each for each in path.parent.iterdir() if ".corrupt-" in each.name]
    assert [each.read_bytes()[:7] for each in aside] == [b"this is"]


async def test_corruption_found_later_is_moved_aside_too(path: Path) -> None:
    await opened(path)
    fill(path)
    damage_last_page(path)
    writer = Writer(path, retry_s=0)
    writer.start()
    everything = text("SELECT * FROM filler ORDER BY x")
    with pytest.raises(StoreUnavailable, match="malformed"):
        await writer.run(lambda connection: connection.execute(everything).all())
    assert await writer.run(tables) == {"requests", "days", "alembic_version"}
    await writer.close()


async def test_a_bug_in_a_job_reaches_who_asked_and_the_thread_lives(path: Path) -> None:
    writer = Writer(path)
    writer.start()

    def bug(connection: Connection) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await writer.run(bug)
    assert "requests" in await writer.run(tables)
    await writer.close()
    await writer.close()


async def test_rows_of_an_older_schema_are_kept(path: Path) -> None:
    path.parent.mkdir()
    command.upgrade(migrate.alembic_config(path), "0001")
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(
            "INSERT INTO requests (id, at, principal, profile, api, status, queue_ms, load_ms, total_ms, cancelled) "
            "VALUES ('req-1', 1.0, 'local', 'coder', 'chat', 200, 0, 0, 1, 0)"
        )
        connection.commit()
    await opened(path)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT id, generated_ms FROM requests").fetchall() == [("req-1", None)]


async def test_a_full_disk_is_a_problem_until_something_was_written(path: Path) -> None:
    """The file can be opened and read all the time."""
    writer = Writer(path, retry_s=0)
    writer.start()

    async def run(statement: str) -> None:
        await writer.run(lambda connection: connection.exec_driver_sql(statement).close())

    await run("CREATE TABLE filler (x)")
    assert writer.problem == ""
    await run("PRAGMA max_page_count = 1")  # of this connection, which does not survive the failure
    with pytest.raises(StoreUnavailable, match="full"):
        await run("INSERT INTO filler VALUES (zeroblob(100000))")
    assert "full" in writer.problem
    assert "filler" in await writer.run(tables)
    assert "full" in writer.problem
    await run("INSERT INTO filler VALUES (1)")
    assert writer.problem == ""
    await writer.close()
