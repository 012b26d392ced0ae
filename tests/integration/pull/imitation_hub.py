"""A small hub: the paths that the real `huggingface_hub` client and our downloads ask for, with bad days by switch."""

from __future__ import annotations

import hashlib
import json
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar
from urllib.parse import unquote, urlsplit

COMMIT = "c0ffee" + "0" * 34
BLOCK = 64 * 1024


@dataclass
class Switches:
    """How it misbehaves. A number is how many answers are spoilt before all is well again."""

    token: str = ""
    gated: bool = False
    html: bool = False
    no_ranges: bool = False
    changed_bytes: bool = False
    break_after: int | None = None
    breaks: int = 0
    failures: int = 0
    status: int = 500
    retry_after: str = ""
    stall_after: int | None = None
    redirect: str = ""
    claimed_size: int | None = None


@dataclass
class Hub:
    """One repository ``org/tiny-GGUF`` and what was asked of it."""

    files: dict[str, bytes]
    url: str = ""
    switches: Switches = field(default_factory=Switches)
    asked: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    stalled: threading.Event = field(default_factory=threading.Event)
    go_on: threading.Event = field(default_factory=threading.Event)

    def ranges(self, name: str) -> list[str | None]:
        """The Range of every download of a file."""
        return [heads.get("range") for method, path, heads in self.asked if method == "GET" and path.endswith(name)]


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    hub: ClassVar[Hub]
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, *, body: bool) -> None:
        hub, path = self.hub, unquote(urlsplit(self.path).path)
        heads = {name.lower(): value for name, value in self.headers.items()}
        hub.asked.append((self.command, path, heads))
        switches = hub.switches
        if switches.html:
            self._send(200, b"<!DOCTYPE html><html>Please log in</html>", {"Content-Type": "text/html"}, body=body)
        elif switches.token and heads.get("authorization") != f"Bearer {switches.token}":
            self._refuse(401, "RepoNotFound", "Repository not found", body=body)
        elif switches.gated:
            self._refuse(403, "GatedRepo", "Access to model org/tiny-GGUF is restricted", body=body)
        elif re.fullmatch(r"/api/models/org/tiny-GGUF(/revision/[^/]+)?", path):
            self._api(body=body)
        elif found := re.fullmatch(r"/org/tiny-GGUF/resolve/[^/]+/(.+)", path):
            if switches.redirect:
                self._send(302, b"", {"Location": f"{switches.redirect}/plain/{found[1]}?signed=yes"}, body=body)
            else:
                self._file(found[1], heads, body=body)
        elif path.startswith("/plain/"):
            self._file(path.removeprefix("/plain/"), heads, body=body)
        else:
            self._refuse(404, "RepoNotFound", "Repository not found", body=body)

    def _api(self, *, body: bool) -> None:
        if self._fails(body=body):
            return
        siblings = [
            {
                "rfilename": name,
                "size": self.hub.switches.claimed_size or len(data),
                "blobId": hashlib.sha1(data).hexdigest(),
                "lfs": {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 134},
            }
            for name, data in self.hub.files.items()
        ]
        told = {"id": "org/tiny-GGUF", "sha": COMMIT, "siblings": siblings, "private": False, "tags": ["gguf"]}
        self._send(200, json.dumps(told).encode(), {"Content-Type": "application/json"}, body=body)

    def _fails(self, *, body: bool) -> bool:
        switches = self.hub.switches
        if switches.failures <= 0:
            return False
        switches.failures -= 1
        also = {"Retry-After": switches.retry_after} if switches.retry_after else {}
        self._send(switches.status, b"{}", {"Content-Type": "application/json", **also}, body=body)
        return True

    def _file(self, name: str, heads: dict[str, str], *, body: bool) -> None:
        data = self.hub.files.get(name)
        if data is None:
            self._refuse(404, "EntryNotFound", "Entry not found", body=body)
            return
        if self._fails(body=body):
            return
        etag = f'"{hashlib.sha256(data).hexdigest()}"'
        about = {
            "ETag": etag, "X-Linked-ETag": etag, "X-Linked-Size": str(len(data)), "X-Repo-Commit": COMMIT,
            "Accept-Ranges": "bytes", "Content-Type": "application/octet-stream",
        }  # fmt: skip
        if self.hub.switches.changed_bytes:
            data = data[:-1] + bytes([data[-1] ^ 1])
        found = re.fullmatch(r"bytes=(\d+)-(\d*)", heads.get("range", ""))
        if found is None or self.hub.switches.no_ranges or heads.get("if-range", etag) != etag:
            self._send(200, data, about, body=body)
            return
        first, last = int(found[1]), min(int(found[2] or len(data) - 1), len(data) - 1)
        if first >= len(data):
            self._send(416, b"", {"Content-Range": f"bytes */{len(data)}"}, body=body)
            return
        about["Content-Range"] = f"bytes {first}-{last}/{len(data)}"
        self._send(206, data[first : last + 1], about, body=body)

    def _refuse(self, status: int, code: str, message: str, *, body: bool) -> None:
        said = json.dumps({"error": message}).encode()
        self._send(status, said, {"X-Error-Code": code, "X-Error-Message": message}, body=body)

    def _send(self, status: int, data: bytes, heads: dict[str, str], *, body: bool) -> None:
        self.send_response(status)
        for name, value in heads.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if body:
            self._body(data if status in (200, 206) and "ETag" in heads else b"", data)

    def _body(self, file: bytes, data: bytes) -> None:
        switches = self.hub.switches
        cut = switches.break_after if file and switches.breaks > 0 else None
        # The end of a range is asked for by those who look at a header; only whole downloads stall.
        stall = switches.stall_after if file and not re.search(r"-\d", self.headers.get("Range", "")) else None
        if cut is not None:
            switches.breaks -= 1
        for at in range(0, len(data), BLOCK):
            if cut is not None and at >= cut:
                self.close_connection = True
                return
            if stall is not None and at >= stall and not self.hub.go_on.is_set():
                self.hub.stalled.set()
                self.hub.go_on.wait(60)
            try:
                self.wfile.write(data[at : at + BLOCK])
                self.wfile.flush()
            except OSError:  # the client has gone
                self.close_connection = True
                return


class Quiet(ThreadingHTTPServer):
    """Clients that leave in the middle are what is tested: nothing to print."""

    def handle_error(self, request: object, client_address: object) -> None:
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


@contextmanager
def serving(files: dict[str, bytes]) -> Iterator[Hub]:
    """The hub at ``Hub.url`` until the end of the block."""
    hub = Hub(files)
    server = Quiet(("127.0.0.1", 0), type("Bound", (Handler,), {"hub": hub}))
    server.daemon_threads = True
    server.block_on_close = False
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield hub
    finally:
        hub.go_on.set()
        server.shutdown()
        thread.join()
        server.server_close()
