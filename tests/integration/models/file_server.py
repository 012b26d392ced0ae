"""A web server with files that are mostly holes, and with bad manners by switch."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar
from urllib.parse import unquote

_BLOCK = 64 * 1024
_RANGE = re.compile(r"bytes=(\d+)-(\d+)")


@dataclass
class Manners:
    """How it answers. ``failures`` counts down: so many answers have ``status`` before all is well."""

    ranges: bool = True
    failures: int = 0
    status: int = 503
    retry_after: str = ""
    redirect: str = ""
    page: bool = False
    compressed: bool = False
    break_after: int | None = None
    other_range: bool = False
    unknown_size: bool = False
    versions: list[str] = field(default_factory=list)
    stall: threading.Event | None = None


@dataclass
class Server:
    """``asked`` has path, Range and Authorization of every request; ``sent`` counts the bytes of files."""

    folder: Path
    url: str = ""
    manners: Manners = field(default_factory=Manners)
    asked: list[tuple[str, str | None, str | None]] = field(default_factory=list)
    sent: int = 0


class _Handler(BaseHTTPRequestHandler):
    server_state: ClassVar[Server]
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        state, manners = self.server_state, self.server_state.manners
        state.asked.append((self.path, self.headers.get("Range"), self.headers.get("Authorization")))
        if manners.stall is not None:
            manners.stall.wait(20)
        if manners.failures:
            manners.failures -= 1
            return self._short(manners.status, {"Retry-After": manners.retry_after} if manners.retry_after else {})
        if manners.redirect and not self.path.startswith("/real/"):
            return self._short(302, {"Location": manners.redirect.replace("PATH", self.path)})
        if manners.page:
            return self._short(200, {"Content-Type": "text/html"}, b"<!DOCTYPE html><html>Sign in</html>")
        path = state.folder / unquote(self.path.partition("?")[0].rpartition("/")[2])
        return self._file(path) if path.is_file() else self._short(404, {})

    def _short(self, status: int, heads: dict[str, str], body: bytes = b"") -> None:
        self.send_response(status)
        for name, value in heads.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _file(self, path: Path) -> None:
        manners, size = self.server_state.manners, path.stat().st_size
        asked = _RANGE.fullmatch(self.headers.get("Range", "")) if manners.ranges else None
        start, end = (int(asked[1]), min(int(asked[2]), size - 1)) if asked else (0, size - 1)
        if start >= size:
            return self._short(416, {})
        self.send_response(206 if asked else 200)
        if asked:
            total = "*" if manners.unknown_size else str(size)
            self.send_header("Content-Range", f"bytes {start + 7 * manners.other_range}-{end}/{total}")
        if manners.versions:
            self.send_header("ETag", manners.versions.pop(0))
        if manners.compressed:
            self.send_header("Content-Encoding", "gzip")
        if manners.unknown_size and not asked:
            self.send_header("Connection", "close")
        else:
            self.send_header("Content-Length", str(end - start + 1))
        self.end_headers()
        return self._body(path, start, end)

    def _body(self, path: Path, start: int, end: int) -> None:
        state = self.server_state
        left = end - start + 1
        if state.manners.break_after is not None:
            left, state.manners.break_after = min(left, state.manners.break_after), None
            self.close_connection = True
        with path.open("rb") as file:
            file.seek(start)
            while left > 0:
                block = file.read(min(_BLOCK, left))
                try:
                    self.wfile.write(block)
                except OSError:  # they have seen enough
                    self.close_connection = True
                    return
                left -= len(block)
                state.sent += len(block)
        if state.manners.unknown_size:
            self.close_connection = True


@contextmanager
def serving(folder: Path) -> Iterator[Server]:
    """Serve ``folder`` on a free port of 127.0.0.1."""
    state = Server(folder)
    handler = type("Handler", (_Handler,), {"server_state": state})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    state.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield state
    finally:
        if state.manners.stall is not None:
            state.manners.stall.set()
        server.shutdown()
        thread.join()
        server.server_close()
