"""Engine logs: private, rotated, followed."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest

from hostler.engines.logs import LogFile, follow, path_for, tail

pytestmark = pytest.mark.anyio


def _log(path: Path, max_bytes: int = 10**6, keep: int = 2, secret: str = "") -> LogFile:
    return LogFile(path, lambda: (max_bytes, keep), secret=secret)


def test_a_profile_name_cannot_leave_the_folder(tmp_path: Path) -> None:
    assert path_for(tmp_path, "../../etc/x").parent == tmp_path / "engines"
    assert path_for(tmp_path, "..").parent == tmp_path / "engines"
    assert path_for(tmp_path, "smollm2").name == "smollm2.log"


def test_it_is_private_even_when_it_was_not(tmp_path: Path) -> None:
    path = tmp_path / "engines" / "a.log"
    path.parent.mkdir(mode=0o755)
    path.write_text("")
    path.chmod(0o644)
    with _log(path) as log:
        log.write(["one"])

    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_it_rotates_and_keeps_so_many(tmp_path: Path) -> None:
    path = tmp_path / "engines" / "a.log"
    with _log(path, max_bytes=10, keep=2) as log:
        for number in range(5):
            log.write([f"line {number}"])

    assert sorted(file.name for file in path.parent.iterdir()) == ["a.log", "a.log.1", "a.log.2"]
    assert [path.with_name(name).read_text() for name in ("a.log", "a.log.1", "a.log.2")] == [
        "line 4\n",
        "line 3\n",
        "line 2\n",
    ]
    assert (path.with_name("a.log.1").stat().st_mode & 0o777) == 0o600


def test_the_secret_is_masked(tmp_path: Path) -> None:
    path = tmp_path / "engines" / "a.log"
    with _log(path, secret="very-secret-key") as log:
        log.write(["api_keys: ****-key", "got very-secret-key here"])

    assert path.read_text() == "api_keys: ****\ngot *** here\n"


def test_the_tail_of_a_log(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    assert tail(path, 3) == []
    path.write_text("".join(f"{number}\n" for number in range(10)))

    assert tail(path, 3) == ["7", "8", "9"]


async def test_following_survives_rotation(tmp_path: Path) -> None:
    path = tmp_path / "engines" / "a.log"
    got: list[str] = []
    async with anyio.create_task_group() as tasks:

        async def read() -> None:
            async for line in follow(path):
                got.append(line)

        tasks.start_soon(read)
        await anyio.lowlevel.checkpoint()
        with _log(path, max_bytes=12, keep=9) as log, anyio.fail_after(10):
            for number in range(4):
                log.write([f"line {number}"])
                while len(got) <= number:
                    await anyio.sleep(0.01)
        tasks.cancel_scope.cancel()

    assert got == ["line 0", "line 1", "line 2", "line 3"]


def test_bounds_may_change_while_it_is_written(tmp_path: Path) -> None:
    bounds = [(10, 3)]
    path = tmp_path / "a.log"
    with LogFile(path, lambda: bounds[0]) as log:
        for number in range(5):
            log.write([f"line {number} is longer"])
        assert sorted(each.name for each in tmp_path.glob("a.*")) == ["a.log", "a.log.1", "a.log.2", "a.log.3"]
        bounds[0] = (10, 1)
        log.write(["the last"])
        assert path.with_name("a.log.1").read_text() == "line 4 is longer\n"
        assert sorted(each.name for each in tmp_path.glob("a.*")) == ["a.log", "a.log.1"]
        bounds[0] = (10_000, 1)
        log.write(["more"] * 9)
    assert path.read_text().startswith("the last\nmore\n")
