"""Which gateway a client talks to."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest

from hostler.client.locate import RECORD, GatewayRecord, Target, address, locate, read_record
from hostler.hardware.process import process_start_time


@pytest.fixture(autouse=True)
def _nothing_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOSTLER_URL", raising=False)


def write(state: Path, *, pid: int | None = None, off_by_s: float = 0.0) -> GatewayRecord:
    """A record of this very process, which runs, or of one that does not."""
    started = process_start_time(os.getpid())
    assert started is not None
    record = GatewayRecord(pid or os.getpid(), started + off_by_s, "http://127.0.0.1:4999/")
    (state / RECORD).write_bytes(msgspec.json.encode(record))
    return record


def test_what_was_asked_for_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path)
    monkeypatch.setenv("HOSTLER_URL", "http://there:1/")
    assert locate("here:2", tmp_path) == Target("http://here:2", "asked")
    assert locate(None, tmp_path) == Target("http://there:1", "asked")


def test_the_record_of_a_running_gateway_is_next(tmp_path: Path) -> None:
    write(tmp_path)
    assert locate(None, tmp_path) == Target("http://127.0.0.1:4999", "record")


@pytest.mark.parametrize(
    ("url", "told"), [("http://0.0.0.0:4999", "http://127.0.0.1:4999"), ("http://[::]:4999", "http://[::1]:4999")]
)
def test_of_a_gateway_that_listens_everywhere_this_machine_is_asked(tmp_path: Path, url: str, told: str) -> None:
    of = write(tmp_path)
    (tmp_path / RECORD).write_bytes(msgspec.json.encode(GatewayRecord(of.pid, of.start_time, url)))
    assert locate(None, tmp_path) == Target(told, "record")


def test_a_record_of_a_process_that_is_gone_is_ignored(tmp_path: Path) -> None:
    write(tmp_path, pid=2**22 + 1)
    assert read_record(tmp_path) is None


def test_a_later_process_with_the_same_pid_is_not_the_gateway(tmp_path: Path) -> None:
    write(tmp_path, off_by_s=-60)
    assert read_record(tmp_path) is None


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": "x"}'])
def test_a_broken_record_is_no_record(tmp_path: Path, text: str) -> None:
    (tmp_path / RECORD).write_text(text)
    assert locate(None, tmp_path) is None


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:80"),
        ("0.0.0.0", "http://127.0.0.1:80"),
        ("::", "http://[::1]:80"),
        ("fe80::1", "http://[fe80::1]:80"),
        ("box.lan", "http://box.lan:80"),
    ],
)
def test_addresses_can_be_reached(host: str, url: str) -> None:
    assert address(host, 80) == url
