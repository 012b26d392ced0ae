"""A small table in a file: bounded, whole or not at all."""

from __future__ import annotations

import json
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hostler.fleet.learning.remembered import LARGEST_FILE, Remembered


def _table(file: Path, kept: int = 3) -> Remembered[int]:
    return Remembered(file, int, kept)


@contextmanager
def _full_disk(largest: int) -> Iterator[None]:
    """Whatever is written beyond ``largest`` bytes fails, as on a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_the_newest_stay(tmp_path: Path) -> None:
    table = _table(tmp_path / "table.json")
    for number, key in enumerate("abcad"):
        table.put(key, number)
    table.save()
    again = _table(tmp_path / "table.json")
    assert [again.get(key) for key in "abcd"] == [3, None, 2, 4]


def test_what_is_forgotten_stays_so(tmp_path: Path) -> None:
    table = _table(tmp_path / "table.json")
    for key in "abc":
        table.put(key, 1)
    assert table.forget("a")
    assert not table.forget("a")
    assert table.keep_only({"b", "x"})
    assert not table.keep_only({"b"})
    table.save()
    assert json.loads((tmp_path / "table.json").read_bytes()) == {"b": 1}


def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "state" / "table.json"
    table = _table(file)
    table.put("a", 1)
    table.save()
    table.put("b" * 500, 2)
    with _full_disk(100), pytest.raises(OSError, match="too large"):
        table.save()
    assert [each.name for each in file.parent.iterdir()] == ["table.json"]
    assert _table(file).get("a") == 1
    table.save()
    assert _table(file).get("b" * 500) == 2


@pytest.mark.parametrize("content", [b"", b"{", b"null", b'{"a": "text"}', b"\xff", b"[" * 200_000])
def test_a_broken_file_is_an_empty_table(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "table.json"
    file.write_bytes(content)
    table = _table(file)
    assert table.get("a") is None
    table.put("a", 1)
    table.save()
    assert _table(file).get("a") == 1


def test_a_file_that_is_far_too_large_is_not_read(tmp_path: Path) -> None:
    file = tmp_path / "table.json"
    with file.open("wb") as written:
        written.write(b'{"a": 1}')
        written.truncate(LARGEST_FILE + 1)
    assert _table(file).get("a") is None
