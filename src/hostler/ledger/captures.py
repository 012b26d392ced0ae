"""What profiles with ``capture = true`` were asked and answered: files of their own, apart from the ledger.

A capture is one JSON file that its owner alone can read. Each text is bounded, and so are their number and size
together: the oldest go first. What looks like a secret, and long runs of base64, is taken out before anything is
written; that is done by patterns, so it finds the usual ones and no more. Of header lines nothing is kept.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import msgspec

from hostler import log
from hostler.store.watching import trouble_in
from hostler.wire.management import RequestRecord

FOLDER: Final = "captures"
TEXT_LIMIT: Final = 256 * 2**10
#: What of a text is looked through for what has to be taken out.
READ_LIMIT: Final = 4 * TEXT_LIMIT
FILES: Final = 1000
BYTES: Final = 64 * 2**20
#: Captures that wait to be written; what comes while so many wait is not kept.
WAITING: Final = 32

_SECRETS: Final = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)"
    r"|\beyJ[\w-]{10,}\.[\w-]{10,}\.[\w-]+"
    r"|\b(?:sk|pk|rk|hostler|gh[pousr]|github_pat|glpat|xox[abprs]|hf)[-_][\w-]{16,}"
    r"|\b(?:AKIA|AIza)[\w-]{16,}"
    r"|(?<=\bBearer )[\w.~+/=-]{16,}",
    re.DOTALL,
)
_NAMED: Final = re.compile(
    r'(?i)((?<=["\'])\w{0,30}(?:password|passwd|secret|api_?key|access_?key|token|authorization)\\?["\']\s*:\s*\\?["\'])'
    r'[^"\'\\]+'
)
_BLOB: Final = re.compile(r"[A-Za-z0-9+/=]{512,}")


class Capture(msgspec.Struct, frozen=True, kw_only=True):
    """One request: ``asked`` as its engine got it, ``answered`` as its client did. ``cut``: not all of both."""

    id: str
    at: float
    principal: str
    profile: str
    api: str
    status: int
    asked: str
    answered: str
    cut: bool


class Open:
    """A request that runs."""

    __slots__ = ("_asked", "_pieces", "_size")

    def __init__(self, asked: bytes) -> None:
        self._asked = asked
        self._pieces: list[bytes] = []
        self._size = 0

    def before(self, write: Callable[[bytes], None]) -> Callable[[bytes], None]:
        """``write``, which then also keeps what passes, within bounds."""

        def both(data: bytes) -> None:
            if self._size < READ_LIMIT:
                self._pieces.append(data)
                self._size += len(data)
            write(data)

        return both

    def of(self, row: RequestRecord) -> Capture:
        """What is kept of it."""
        asked, asked_cut = _kept(self._asked)
        answered, answered_cut = _kept(b"".join(self._pieces))
        return Capture(
            id=row.id, at=row.at, principal=row.principal, profile=row.profile, api=row.api, status=row.status,
            asked=asked, answered=answered, cut=asked_cut or answered_cut,
        )  # fmt: skip


class Captures:
    """Takes captures, on the event loop's thread; one thread of its own writes them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._open: dict[str, Open] = {}
        self._waiting = 0
        self._thread: ThreadPoolExecutor | None = None
        #: Why the last one could not be written; "" when it was, or could be by now.
        self.problem = ""

    def open(self, request: str, asked: bytes) -> Open:
        """A request of a profile that is captured begins."""
        made = self._open[request] = Open(asked)
        return made

    def forget(self, request: str) -> None:
        """A request turned to another profile, which is not captured."""
        if self._open:
            self._open.pop(request, None)

    def take(self, row: RequestRecord) -> None:
        """A request ended; nothing happens unless it was opened."""
        opened = self._open.pop(row.id, None) if self._open else None
        if opened is None or self._waiting >= WAITING:
            return
        self._thread = self._thread or ThreadPoolExecutor(1, "hostler-captures")
        self._waiting += 1
        writing = asyncio.get_running_loop().run_in_executor(self._thread, self._write, opened, row)
        writing.add_done_callback(self._written)

    def try_again(self) -> None:
        """See whether one could be written now, after one could not. Blocking."""
        self.problem = trouble_in(self._folder)

    def close(self) -> None:
        """Write what waits."""
        if self._thread is not None:
            self._thread.shutdown()

    def _written(self, writing: asyncio.Future[None]) -> None:
        self._waiting -= 1
        failure = None if writing.cancelled() else writing.exception()
        self.problem = str(failure) if failure else ""
        if failure is not None:
            log.warning("captures.failed", folder=str(self._folder), reason=self.problem)

    def _write(self, opened: Open, row: RequestRecord) -> None:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        name = self._folder / f"{round(row.at * 1e3):013d}-{row.id}.json"
        fresh = name.with_suffix(".new")
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as file:
            file.write(msgspec.json.encode(opened.of(row)))
        os.replace(fresh, name)
        _prune(self._folder)


def captured(folder: Path, profile: str | None = None) -> Iterator[tuple[Path, Capture]]:
    """Every capture (of ``profile``), oldest first, with its file; files that are none are left out."""
    for path in sorted(folder.glob("*.json")):
        try:
            capture = msgspec.json.decode(path.read_bytes(), type=Capture)
        except (OSError, msgspec.MsgspecError):
            continue
        if profile in (None, capture.profile):
            yield path, capture


def clear(folder: Path, profile: str | None = None) -> int:
    """Remove captures, all or those of ``profile``; how many."""
    if profile is not None:
        paths = [path for path, _ in captured(folder, profile)]
    else:
        paths = [*folder.glob("*.json"), *folder.glob("*.new")]
    for path in paths:
        path.unlink(missing_ok=True)
    return len(paths)


def _prune(folder: Path) -> None:
    """Remove the oldest ones beyond the bounds."""
    total = 0
    for number, path in enumerate(sorted(folder.glob("*.json"), reverse=True)):
        total += path.stat().st_size
        if number >= FILES or total > BYTES:
            path.unlink(missing_ok=True)


def _kept(data: bytes) -> tuple[str, bool]:
    """The text that is kept, and whether it is not all."""
    if b"\0" in data:
        return f"[{len(data)} bytes]", True
    text = redacted(data[:READ_LIMIT].decode("utf-8", "replace"))
    return text[:TEXT_LIMIT], len(data) > READ_LIMIT or len(text) > TEXT_LIMIT


def redacted(text: str) -> str:
    """``text`` without what looks like a secret, and without long runs of base64."""
    text = _BLOB.sub(lambda found: f"[{len(found[0])} characters]", text)
    return _NAMED.sub(r"\1[secret]", _SECRETS.sub("[secret]", text))
