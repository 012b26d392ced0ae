"""Hostler's own log: events with stable names and named fields, on the console and in a rotated file.

::

    log.info("instance.ready", profile="coder", load_s=3.1)

A line holds only its event name, named scalar fields and, while a request is served, the request's id
(see :func:`request`). Nothing here takes a body, so prompts cannot come in. Loggers of libraries (uvicorn)
end in the same two places. A file that cannot be written costs one warning on the console, never a request.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import anyio
import msgspec

if TYPE_CHECKING:
    from hostler.config.settings import LogSettings
    from hostler.events import AnyEvent, Bus

Scalar = str | int | float | bool | None

FILE_NAME = "hostler.log"
LONGEST_VALUE = 2_000
RETRY_FILE_S = 30.0
LOOK_S = 0.1

_logger = logging.getLogger("hostler")
_request: ContextVar[str] = ContextVar("hostler_request", default="")

_QUIET_EVENTS = ("lease.", "request.", "load.progress", "engine.memory")
_COLOURS = {"debug": "2", "info": "36", "warning": "33", "error": "31"}


def debug(event: str, /, **fields: Scalar) -> None:
    """Log what only someone who searches a fault wants to read."""
    _write(logging.DEBUG, event, fields)


def info(event: str, /, **fields: Scalar) -> None:
    """Log what happened."""
    _write(logging.INFO, event, fields)


def warning(event: str, /, **fields: Scalar) -> None:
    """Log what went wrong and was lived with."""
    _write(logging.WARNING, event, fields)


def error(event: str, /, **fields: Scalar) -> None:
    """Log what could not be done."""
    _write(logging.ERROR, event, fields)


def bug(event: str, failure: BaseException, /, **fields: Scalar) -> None:
    """Log an exception that nobody expected, with its traceback."""
    _write(logging.ERROR, event, fields, failure)


@contextmanager
def request(request_id: str) -> Iterator[None]:
    """Put ``request=request_id`` into every line that is written inside, also by tasks started inside."""
    token = _request.set(request_id)
    try:
        yield
    finally:
        _request.reset(token)


def configure(settings: LogSettings, folder: Path | None, stream: TextIO | None = None) -> None:
    """Write to ``stream`` (default: stderr) and to ``folder``/hostler.log (None: no file) from now on.

    May be called again when the settings change. Never fails: a folder that cannot be written is warned
    about once and tried again later.
    """
    close()
    file = None if folder is None else LogFile(folder / FILE_NAME, settings.max_size, settings.keep)
    console = stream or sys.stderr
    handler = _Handler(console, file, as_json=settings.format == "json", colour=_wants_colour(console))
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    _logger.setLevel(settings.level.upper())
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access", "litestar"):
        library = logging.getLogger(name)
        library.handlers.clear()
        library.propagate = True
        library.setLevel(logging.WARNING)


def close() -> None:
    """Stop writing and close the file; without :func:`configure` before, nothing happens."""
    root = logging.getLogger()
    for handler in [each for each in root.handlers if isinstance(each, _Handler)]:
        root.removeHandler(handler)
        handler.close()


def file_problem() -> str:
    """Why the file cannot be written now; "" when it can, or when there is none."""
    handlers = [each for each in logging.getLogger().handlers if isinstance(each, _Handler)]
    return next((each.file.problem for each in handlers if each.file), "")


async def follow_bus(bus: Bus) -> None:
    """Log every event of ``bus``, kept ones first, until cancelled; what happened until then is logged still.

    Looks at most ten times a second: thousands of requests a second must not wake it once each.
    """
    logged = 0
    try:
        while True:
            await bus.changed(logged)
            logged = _log_since(bus, logged)
            await anyio.sleep(LOOK_S)
    finally:
        _log_since(bus, logged)


def _log_since(bus: Bus, logged: int) -> int:
    # What is of single requests is logged in detail only.
    for event in bus.since(logged) if _logger.isEnabledFor(logging.DEBUG) else bus.rare_since(logged):
        log_event(event)
    return bus.last_id


def log_event(event: AnyEvent) -> None:
    """Log one bus event under its stable name.

    An engine's own words are left to the engine's log: they can quote a prompt.
    """
    name = str(event.__struct_config__.tag)
    level = _event_level(name, event)
    if not _logger.isEnabledFor(level):
        return
    plain: dict[str, object] = msgspec.to_builtins(event)
    for key in ("type", "id", "at", "text"):
        plain.pop(key, None)
    told = {
        key: value for key, value in plain.items() if value not in ("", None, (), []) and not isinstance(value, dict)
    }
    _write(level, name, {key: _scalar(value) for key, value in told.items()})


def _event_level(name: str, event: AnyEvent) -> int:
    if name.startswith(_QUIET_EVENTS):
        return logging.DEBUG
    severity = getattr(event, "level", "")
    if severity == "error" or getattr(event, "state", "") == "failed":
        return logging.ERROR
    if severity == "warning" or name in ("config.rejected", "ledger.dropped", "gap"):
        return logging.WARNING
    return logging.INFO


def _write(level: int, event: str, fields: dict[str, Scalar], failure: BaseException | None = None) -> None:
    if _logger.isEnabledFor(level):
        _logger.log(level, event, exc_info=failure, extra={"hostler_fields": fields})


def _scalar(value: object) -> Scalar:
    if value is None or isinstance(value, str | int | float | bool):
        return value
    return ",".join(str(each) for each in value) if isinstance(value, list | tuple) else type(value).__name__


def _wants_colour(stream: TextIO) -> bool:
    return stream.isatty() and not os.environ.get("NO_COLOR")


class LogFile:
    """A file that only its owner may read, rotated by size: ``name``, ``name.1``, ... up to ``keep``.

    After a failed write the file is left alone for :data:`RETRY_FILE_S` seconds.
    """

    def __init__(self, path: Path, max_size: int, keep: int) -> None:
        self._path = path
        self._max_size = max_size
        self._keep = keep
        self._descriptor: int | None = None
        self._size = 0
        self._retry_at = 0.0
        self.problem = ""

    def write(self, line: str) -> OSError | None:
        """Append ``line``; returns the failure if this write is the first one that fails in a while."""
        if time.monotonic() < self._retry_at:
            return None
        data = line.encode("utf-8", "backslashreplace")
        try:
            self._make_room(len(data))
            os.write(self._open(), data)
        except OSError as failure:
            self._retry_at = time.monotonic() + RETRY_FILE_S
            self.problem = failure.strerror or str(failure)
            self.close()
            return failure
        self.problem = ""
        self._size += len(data)
        return None

    def close(self) -> None:
        if self._descriptor is not None:
            with suppress(OSError):
                os.close(self._descriptor)
            self._descriptor = None

    def _open(self) -> int:
        if self._descriptor is None:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
            self._descriptor = os.open(self._path, flags, 0o600)
            self._size = os.fstat(self._descriptor).st_size
        return self._descriptor

    def _make_room(self, wanted: int) -> None:
        self._open()
        if self._size == 0 or self._size + wanted <= self._max_size:
            return
        self.close()
        for number in range(self._keep, 0, -1):
            source = self._numbered(number - 1)
            if source.exists():
                source.replace(self._numbered(number))
        if self._keep == 0:
            self._path.unlink(missing_ok=True)

    def _numbered(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}") if number else self._path


class _Handler(logging.Handler):
    """Formats each record once and hands it to the console and the file; ``logging`` holds the lock."""

    def __init__(self, console: TextIO, file: LogFile | None, *, as_json: bool, colour: bool) -> None:
        super().__init__()
        self._console = console
        self.file = file
        self._as_json = as_json
        self._colour = colour

    def emit(self, record: logging.LogRecord) -> None:
        line = _json_line(record) if self._as_json else _console_line(record)
        self._show(line if self._as_json or not self._colour else _coloured(record, line))
        failure = self.file.write(line) if self.file else None
        if failure is not None:
            told = logging.makeLogRecord({"name": "hostler", "levelno": logging.WARNING, "msg": "log.file_unwritable"})
            told.hostler_fields = {"reason": failure.strerror or str(failure), "file": failure.filename or FILE_NAME}
            self._show(_json_line(told) if self._as_json else _console_line(told))

    def close(self) -> None:
        if self.file:
            self.file.close()
        super().close()

    def _show(self, line: str) -> None:
        # A console that went away (a closed pipe or terminal) must not stop the gateway.
        with suppress(OSError, ValueError):
            self._console.write(line)
            self._console.flush()


def _parts(record: logging.LogRecord) -> tuple[str, str, dict[str, Scalar]]:
    """Level, event name and fields of a record; a library's record becomes ``NAME`` with ``message``."""
    fields: dict[str, Scalar] | None = getattr(record, "hostler_fields", None)
    if fields is None:
        event, fields = record.name, {"message": record.getMessage()}
    else:
        event = record.msg
    serving = _request.get()
    if serving and "request" not in fields:
        fields = {**fields, "request": serving}
    level = logging.getLevelName(record.levelno).lower()
    return level, event, {key: _bounded(value) for key, value in fields.items()}


def _bounded(value: Scalar) -> Scalar:
    if isinstance(value, str) and len(value) > LONGEST_VALUE:
        return f"{value[:LONGEST_VALUE]}..."
    return value


def _trace(record: logging.LogRecord) -> str:
    failure = record.exc_info[1] if record.exc_info else None
    return "".join(traceback.format_exception(failure)) if failure else ""


def _json_line(record: logging.LogRecord) -> str:
    level, event, fields = _parts(record)
    at = datetime.fromtimestamp(record.created).astimezone().isoformat(timespec="milliseconds")
    line: dict[str, Scalar] = {"at": at, "level": level, "event": event, **fields}
    trace = _trace(record)
    if trace:
        line["traceback"] = trace
    return json.dumps(line, ensure_ascii=False) + "\n"


def _console_line(record: logging.LogRecord) -> str:
    level, event, fields = _parts(record)
    clock = datetime.fromtimestamp(record.created).astimezone().strftime("%H:%M:%S")
    shown = " ".join(f"{key}={_plain(value)}" for key, value in fields.items())
    trace = _trace(record)
    return f"{clock} {level:<7} {event} {shown}".rstrip() + "\n" + trace


def _plain(value: Scalar) -> str:
    """A value on one line: quoted when it holds spaces or anything that could forge a line."""
    if isinstance(value, float):
        return f"{value:.3f}".rstrip("0").rstrip(".")
    text = str(value)
    simple = text and text.isprintable() and not any(char in ' "=' for char in text)
    return text if simple else json.dumps(text, ensure_ascii=False)


def _coloured(record: logging.LogRecord, line: str) -> str:
    level = logging.getLevelName(record.levelno).lower()
    return line.replace(level, f"\x1b[{_COLOURS.get(level, '0')}m{level}\x1b[0m", 1)
