"""The log: stable names, one line an event, request ids, and no harm from a bad disk."""

from __future__ import annotations

import io
import json
import logging
import stat
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

from hostler import log
from hostler.config.quantities import Bytes
from hostler.config.settings import LogSettings
from hostler.events import Bus, EngineMessage, InstanceChanged, LeaseGranted, Swap


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    log.close()


def configured(folder: Path | None = None, stream: io.StringIO | None = None, **changes: object) -> io.StringIO:
    out = stream or io.StringIO()
    log.configure(LogSettings(**changes), folder, out)  # type: ignore[arg-type]
    return out


def test_a_console_line_names_the_event_and_its_fields() -> None:
    out = configured()
    log.info("instance.ready", profile="coder", load_s=3.1004, note="two words", pinned=True)
    _, level, event, rest = out.getvalue().split(maxsplit=3)
    assert (level, event) == ("info", "instance.ready")
    assert rest == 'profile=coder load_s=3.1 note="two words" pinned=True\n'


def test_a_json_line_is_one_object() -> None:
    out = configured(format="json")
    log.warning("config.rejected", reason="line\nbreak")
    line = json.loads(out.getvalue())
    assert line["event"] == "config.rejected"
    assert line["level"] == "warning"
    assert line["reason"] == "line\nbreak"
    assert out.getvalue().count("\n") == 1


def test_a_value_cannot_forge_a_line() -> None:
    out = configured()
    log.info("client.said", name="x\n12:00:00 error forged \x1b[31m")
    assert out.getvalue().count("\n") == 1
    assert "\x1b" not in out.getvalue()


def test_every_line_inside_a_request_carries_its_id() -> None:
    out = configured(format="json")
    with log.request("req-7"):
        log.info("relay.retry")
        logging.getLogger("uvicorn.error").warning("odd")
    log.info("after")
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [line.get("request") for line in lines] == ["req-7", "req-7", None]
    assert lines[1]["event"] == "uvicorn.error"
    assert lines[1]["message"] == "odd"


def test_the_level_holds_and_can_change() -> None:
    out = configured(level="warning")
    log.info("quiet")
    assert out.getvalue() == ""
    out = configured(level="debug")
    log.debug("loud")
    assert "loud" in out.getvalue()


def test_colour_needs_a_terminal_and_no_objection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    out = configured(stream=Terminal())
    log.error("broken")
    assert "\x1b[31merror\x1b[0m" in out.getvalue()
    monkeypatch.setenv("NO_COLOR", "1")
    out = configured(stream=Terminal())
    log.error("broken")
    assert "\x1b" not in out.getvalue()


def test_the_file_is_private_and_rotated(tmp_path: Path) -> None:
    configured(tmp_path / "logs", max_size=Bytes(400), keep=2)
    for number in range(40):
        log.info("tick", number=number)
    files = sorted(path.name for path in (tmp_path / "logs").iterdir())
    assert files == ["hostler.log", "hostler.log.1", "hostler.log.2"]
    for path in (tmp_path / "logs").iterdir():
        assert path.stat().st_size <= 400
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "number=39" in (tmp_path / "logs" / "hostler.log").read_text()


def test_keep_none_starts_the_file_anew(tmp_path: Path) -> None:
    configured(tmp_path, max_size=Bytes(100), keep=0)
    for number in range(20):
        log.info("tick", number=number)
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["hostler.log"]


def test_a_folder_that_cannot_be_written_costs_one_warning(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    out = configured(blocked / "logs")
    log.info("first")
    log.info("second")
    assert out.getvalue().count("log.file_unwritable") == 1
    assert "second" in out.getvalue()
    assert log.file_problem() == "Not a directory"
    log.close()
    assert log.file_problem() == ""


def test_a_closed_console_is_lived_with(tmp_path: Path) -> None:
    out = configured(tmp_path)
    out.close()
    log.info("still.here")
    assert "still.here" in (tmp_path / "hostler.log").read_text()


def test_a_bug_keeps_its_traceback() -> None:
    out = configured(format="json")
    try:
        raise ValueError("odd")
    except ValueError as failure:
        log.bug("admin.bug", failure, path="/api/x")
    line = json.loads(out.getvalue())
    assert line["level"] == "error"
    assert "ValueError: odd" in line["traceback"]


def test_an_engines_words_stay_in_the_engines_log() -> None:
    out = configured(level="debug")
    log.log_event(EngineMessage(instance="i", profile="p", level="error", text="the secret prompt"))
    assert "engine.message" in out.getvalue()
    assert "secret" not in out.getvalue()


def test_event_levels() -> None:
    out = configured(level="info", format="json")
    log.log_event(LeaseGranted(request="r", profile="p", instance="i", waited_s=0))
    log.log_event(InstanceChanged(instance="i", profile="p", state="failed", reason="gone", code="engine_lost"))
    log.log_event(Swap(profile="p", evicted=("a", "b"), reason="room"))
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [(line["event"], line["level"]) for line in lines] == [("instance.state", "error"), ("fleet.swap", "info")]
    assert lines[1]["evicted"] == "a,b"


@pytest.mark.anyio
async def test_the_bus_is_followed_from_its_oldest_event() -> None:
    class Watched(io.StringIO):
        def __init__(self) -> None:
            super().__init__()
            self.seen = anyio.Event()

        def write(self, text: str) -> int:
            if "second" in text:
                self.seen.set()
            return super().write(text)

    out = Watched()
    configured(stream=out)
    bus = Bus()
    bus.publish(Swap(profile="first", evicted=(), reason="room"))
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(log.follow_bus, bus)
            bus.publish(Swap(profile="second", evicted=(), reason="room"))
            await out.seen.wait()
            tasks.cancel_scope.cancel()
    assert "profile=first" in out.getvalue()
