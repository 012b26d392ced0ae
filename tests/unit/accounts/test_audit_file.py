"""The audit's file: rows in order, bounded, private, and never a hindrance."""

from __future__ import annotations

import fcntl
import threading
from pathlib import Path

import pytest

from hostler.accounts.audit import FILE_NAME, Audit, by_command
from hostler.clock import ManualClock
from hostler.events import Bus, ConfigReloaded
from hostler.wire.audit import AuditRecord


def row(number: int, target: str = "") -> AuditRecord:
    return AuditRecord(at=float(number), who="me", via="api", action="load", target=target or f"p{number}", status=200)


def test_rows_come_back_newest_first(tmp_path: Path) -> None:
    audit = Audit(tmp_path / "state" / FILE_NAME)
    assert audit.recent() == []
    for number in range(5):
        audit.write(row(number))
    assert audit.recent(3) == [row(4), row(3), row(2)]
    assert Audit(tmp_path / "state" / FILE_NAME).recent() == [row(n) for n in (4, 3, 2, 1, 0)]
    assert (tmp_path / "state" / FILE_NAME).stat().st_mode & 0o777 == 0o600


def test_two_files_of_bounded_size_and_the_newest_rows_stay(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    audit = Audit(folder / FILE_NAME, largest=1000)
    for number in range(500):
        audit.write(row(number))
    assert {path.name for path in folder.iterdir()} == {FILE_NAME, f"{FILE_NAME}.1"}
    assert sum(path.stat().st_size for path in folder.iterdir()) < 2400
    kept = [int(record.at) for record in audit.recent()]
    assert kept == list(range(499, 499 - len(kept), -1))
    assert len(kept) > 5


def test_many_writers_lose_no_row(tmp_path: Path) -> None:
    def write(worker: int) -> None:
        audit = Audit(tmp_path / FILE_NAME, largest=4000)
        for number in range(8):
            audit.write(row(worker * 100 + number))

    threads = [threading.Thread(target=write, args=(worker,)) for worker in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(Audit(tmp_path / FILE_NAME).recent()) == 48


def test_a_line_cut_off_by_a_crash_costs_itself_alone(tmp_path: Path) -> None:
    audit = Audit(tmp_path / FILE_NAME)
    audit.write(row(1))
    with (tmp_path / FILE_NAME).open("ab") as file:
        file.write(b'{"at": 2, "wh')
    audit.write(row(3))
    assert [record.at for record in audit.recent()] == [3.0, 1.0]


def test_what_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    Audit(tmp_path / "file" / FILE_NAME).write(row(1))


def test_long_names_are_cut(tmp_path: Path) -> None:
    audit = Audit(tmp_path / FILE_NAME)
    audit.write(row(1, "x" * 100_000))
    assert len(audit.recent()[0].target) == 300


def test_a_command_is_told_with_its_user() -> None:
    told = by_command("new key", "laptop", "inference")
    assert told.who
    assert (told.via, told.action, told.target, told.detail) == ("cli", "new key", "laptop", "inference")


@pytest.mark.anyio
async def test_a_changed_configuration_is_a_row(tmp_path: Path) -> None:
    import anyio

    bus, audit = Bus(ManualClock()), Audit(tmp_path / FILE_NAME)
    async with anyio.create_task_group() as group:
        group.start_soon(audit.follow, bus)
        await anyio.wait_all_tasks_blocked()
        bus.publish(ConfigReloaded(added=("a",), changed=("b", "c")))
        with anyio.fail_after(5):
            while not audit.recent():
                await anyio.sleep(0.01)
        group.cancel_scope.cancel()
    (record,) = audit.recent()
    assert (record.via, record.action, record.detail) == ("file", "config", "added a; changed b, c")


@pytest.mark.anyio
async def test_a_change_while_another_is_written_is_a_row_too(tmp_path: Path) -> None:
    """What happened while the disk was slow was taken as seen."""
    import anyio

    bus, audit = Bus(ManualClock()), Audit(tmp_path / FILE_NAME)
    with (tmp_path / FILE_NAME).open("ab") as held:
        async with anyio.create_task_group() as group:
            fcntl.flock(held, fcntl.LOCK_EX)
            group.start_soon(audit.follow, bus)
            await anyio.wait_all_tasks_blocked()
            bus.publish(ConfigReloaded(added=("a",)))
            await anyio.wait_all_tasks_blocked()  # it waits for the file
            bus.publish(ConfigReloaded(added=("b",)))
            fcntl.flock(held, fcntl.LOCK_UN)
            with anyio.fail_after(5):
                while len(audit.recent()) < 2:
                    await anyio.sleep(0.01)
            group.cancel_scope.cancel()
    assert [record.detail for record in audit.recent()] == ["added b", "added a"]
