"""What a killed gateway left behind is ended by pid and start time, never by name."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import anyio
import msgspec
import pytest

from hostler.engines.processes.orphans import Record, Records, is_running
from hostler.hardware.process import process_start_time

pytestmark = pytest.mark.anyio


@pytest.fixture
def left() -> Iterator[subprocess.Popen[bytes]]:
    """A process that leads its own group, as an engine does."""
    process = subprocess.Popen(["/bin/sleep", "600"], start_new_session=True)
    yield process
    process.kill()
    process.wait()


def _record(pid: int, *, later_s: float = 0.0) -> Record:
    started = process_start_time(pid)
    assert started is not None
    return Record(pid=pid, started=started + later_s, instance="coder/1", profile="coder", argv0="sleep")


async def test_a_recorded_process_is_ended_and_forgotten(left: subprocess.Popen[bytes], tmp_path: Path) -> None:
    records = Records(tmp_path)
    record = _record(left.pid)
    assert records.write(record)

    assert await records.end_orphans() == [record]

    assert await anyio.to_thread.run_sync(left.wait) == -signal.SIGTERM
    assert records.all() == []


async def test_another_process_with_the_same_pid_is_left_alone(left: subprocess.Popen[bytes], tmp_path: Path) -> None:
    """Pids are used again: the start time says that this one is not ours."""
    records = Records(tmp_path)
    records.write(_record(left.pid, later_s=-100))

    assert await records.end_orphans() == []

    assert left.poll() is None
    assert records.all() == []


async def test_what_a_program_left_beside_itself_is_stopped_too(left: subprocess.Popen[bytes], tmp_path: Path) -> None:
    # A container is nobody's child: it outlived a gateway that was killed, and its client with it.
    said = tmp_path / "said"
    record = msgspec.structs.replace(_record(left.pid, later_s=-100), stop=("/bin/sh", "-c", f"echo stopped > {said}"))
    records = Records(tmp_path)
    records.write(record)

    assert await records.end_orphans() == [record]

    assert said.read_text() == "stopped\n"
    assert records.all() == []


async def test_a_stop_that_names_a_process_is_not_run_without_it(left: subprocess.Popen[bytes], tmp_path: Path) -> None:
    """Its pid may be another's by now."""
    said = tmp_path / "said"
    record = msgspec.structs.replace(
        _record(left.pid, later_s=-100), stop=("/bin/sh", "-c", f"echo $0 > {said}", "${PID}")
    )
    records = Records(tmp_path)
    records.write(record)

    assert await records.end_orphans() == []

    assert not said.exists()
    assert records.all() == []


async def test_a_process_that_is_there_is_asked_in_its_own_way_first(
    left: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    records = Records(tmp_path)
    records.write(msgspec.structs.replace(_record(left.pid), stop=("/bin/sh", "-c", "kill -INT $0", "${PID}")))

    assert len(await records.end_orphans()) == 1

    assert await anyio.to_thread.run_sync(left.wait) == -signal.SIGINT


def test_a_record_is_its_owners_alone(left: subprocess.Popen[bytes], tmp_path: Path) -> None:
    """A command to stop may hold the key of its engine."""
    Records(tmp_path).write(_record(left.pid))
    (file,) = (tmp_path / "engines").iterdir()
    assert file.stat().st_mode & 0o077 == 0


async def test_broken_records_are_thrown_away(tmp_path: Path) -> None:
    folder = tmp_path / "engines"
    folder.mkdir()
    (folder / "torn.json").write_bytes(b'{"pid": 1')
    (folder / "wrong.json").write_bytes(b'{"pid": "one", "started": 0}')

    assert await Records(tmp_path).end_orphans() == []
    assert list(folder.iterdir()) == []


async def test_nothing_recorded_is_nothing_to_do(tmp_path: Path) -> None:
    assert await Records(tmp_path / "not there").end_orphans() == []


def test_a_record_never_names_init() -> None:
    assert not is_running(Record(pid=1, started=0.0, instance="", profile="", argv0=""))


def test_a_folder_that_cannot_be_written_loses_only_the_record(tmp_path: Path) -> None:
    (tmp_path / "engines").write_text("not a folder")

    assert not Records(tmp_path).write(Record(pid=2, started=0.0, instance="a", profile="a", argv0=""))
    Records(tmp_path).remove("a")
