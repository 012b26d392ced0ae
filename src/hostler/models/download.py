"""Fetches one large file over HTTP so that nothing is lost or half-done.

Bytes go into ``.NAME.part`` beside the final name, and a note beside that says which version of which file they
are. A call that finds both goes on where the last one stopped, however that ended (kill -9 included); what is
there already is hashed again, so the SHA-256 covers every byte. The final name appears by one rename, after size
and hash are right. Blocking: made for a command's own process or a thread.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Literal

import msgspec

from hostler.errors import Conflict, DownloadFailed, HomeError
from hostler.models.answers import Lost, checked, refused_connection, sane
from hostler.models.looks import looks_like

if TYPE_CHECKING:
    import httpx

Stage = Literal["verify", "download"]
BLOCK = 2**20
TIMEOUT_S = 30.0
# Attempts in a row that bring no byte; the pause doubles from one second, or is what the server asks for.
TRIES = 5
LONGEST_PAUSE_S = 60.0


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """A file to fetch. ``headers`` may hold a token: they are sent to ``url``'s own host and never shown.

    ``size`` and ``sha256`` are what the publisher says, None where he says nothing. ``start`` is how every such
    file begins; another beginning is refused at the first block.
    """

    url: str
    path: Path
    headers: Mapping[str, str] = {}
    size: int | None = None
    sha256: str | None = None
    start: bytes = b"GGUF"

    @property
    def part(self) -> Path:
        """Where the bytes are gathered; hidden, so that no library lists it."""
        return self.path.with_name(f".{self.path.name}.part")

    @property
    def note(self) -> Path:
        """What the gathered bytes are, and later what the finished file was when it was verified."""
        return self.path.with_name(f".{self.path.name}.fetched")


class Progress(msgspec.Struct, frozen=True):
    """How far one file is: ``done`` of ``total`` bytes (None: the server does not say)."""

    name: str
    stage: Stage
    done: int
    total: int | None


class Fetched(msgspec.Struct, frozen=True):
    """A file that is there, whole; ``new`` is False when it was there before."""

    path: Path
    size: int
    sha256: str
    new: bool


class _Note(msgspec.Struct, frozen=True):
    """Which file: the version is its hash, else its ETag. ``mtime_ns`` is set once it is finished."""

    version: str
    size: int | None
    sha256: str = ""
    mtime_ns: int = 0


Report = Callable[[Progress], None]


def fetch(wanted: Wanted, report: Report, pause: Callable[[float], None] = time.sleep) -> Fetched:
    """Make sure that ``wanted.path`` holds the file; see above.

    Raises DownloadFailed (the server refuses, breaks off too often, sends something else), Conflict (another
    process fetches it), HomeError (folder or disk). The part stays for the next call unless its content is wrong.
    """
    import httpx

    try:
        wanted.path.parent.mkdir(parents=True, exist_ok=True)
        with _alone(wanted) as part, httpx.Client(follow_redirects=True, timeout=TIMEOUT_S) as client:
            there = _finished(wanted, report)
            return there if there is not None else _Transfer(wanted, part, client, report, pause).run()
    except OSError as error:
        raise _disk(wanted, error) from error


def missing_bytes(wanted: Wanted) -> int:
    """How much of the disk the rest of it needs; 0 when it is there or its size is not known."""
    try:
        if wanted.path.stat().st_size == wanted.size:
            return 0
    except OSError:
        pass
    try:
        return max(0, (wanted.size or 0) - wanted.part.stat().st_size)
    except OSError:
        return wanted.size or 0


@contextmanager
def _alone(wanted: Wanted) -> Iterator[BinaryIO]:
    """The part file, locked; removed when it is left empty."""
    with os.fdopen(os.open(wanted.part, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644), "r+b", buffering=0) as part:
        try:
            fcntl.flock(part, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise _busy(wanted) from None
        # Another process may have finished, and renamed what was opened here, just before the lock was had.
        if not wanted.part.exists() or not os.path.samestat(os.fstat(part.fileno()), wanted.part.stat()):
            raise _busy(wanted)
        try:
            yield part
        finally:
            # After the rename the part is the file itself, under its final name.
            if not os.fstat(part.fileno()).st_size:
                wanted.part.unlink(missing_ok=True)
                if not wanted.path.exists():
                    wanted.note.unlink(missing_ok=True)


def _busy(wanted: Wanted) -> Conflict:
    return Conflict(f"{wanted.path.name} is being fetched by another process.", hint="Wait for it.")


def _finished(wanted: Wanted, report: Report) -> Fetched | None:
    """The file if it is there and is what is wanted; what was verified once is not hashed again.

    1. Nothing there: None. 2. Fetched earlier and unchanged since: that, unless another version is wanted now,
    which may replace it. 3. Somebody's own file: that if its hash is the wanted one, else Conflict.
    """
    try:
        status = wanted.path.stat()
    except FileNotFoundError:
        return None  # 1
    note = _read_note(wanted)
    if note is not None and (note.mtime_ns, note.size) == (status.st_mtime_ns, status.st_size):  # 2
        same = wanted.sha256 in (None, note.sha256)
        return Fetched(wanted.path, status.st_size, note.sha256, new=False) if same else None
    if wanted.sha256 is not None and wanted.size in (None, status.st_size):  # 3
        with wanted.path.open("rb") as file:
            sha256 = _hashed(file, hashlib.sha256(), wanted, report).hexdigest()
        if sha256 == wanted.sha256:
            _write_note(wanted, _Note(sha256, status.st_size, sha256, status.st_mtime_ns))
            return Fetched(wanted.path, status.st_size, sha256, new=False)
    raise Conflict(
        f"{wanted.path} is there already and is another file.", hint="Move or remove it, then run the command again."
    )


class _Transfer:
    """One file on its way."""

    def __init__(
        self, wanted: Wanted, part: BinaryIO, client: httpx.Client, report: Report, pause: Callable[[float], None]
    ) -> None:
        self._wanted = wanted
        self._part = part
        self._client = client
        self._report = report
        self._pause = pause
        self._digest = hashlib.sha256()
        self._done = 0
        self._note = _Note(wanted.sha256 or "", wanted.size)

    def run(self) -> Fetched:
        self._take_up()
        failed = 0
        while not self._whole():
            before = self._done
            try:
                self._attempt()
                break
            except Lost as error:
                failed = 1 if self._done > before else failed + 1
                if failed >= TRIES or error.final:
                    raise DownloadFailed(f"{sane(self._wanted.url)} {error}.", hint=error.hint) from error
                self._pause(min(error.wait_s or 2.0 ** (failed - 1), LONGEST_PAUSE_S))
        return self._finish()

    def _whole(self) -> bool:
        return self._note.size is not None and self._done >= self._note.size

    def _take_up(self) -> None:
        """Go on with what an earlier call left, if it is of the same version."""
        note = _read_note(self._wanted)
        size = os.fstat(self._part.fileno()).st_size
        same = note is not None and not note.mtime_ns and (self._wanted.sha256 in (None, note.version))
        if note is None or not same or not size or (note.size is not None and size > note.size):
            self._restart()
            return
        self._note = note
        self._part.seek(0)
        self._digest = _hashed(self._part, self._digest, self._wanted, self._report)
        self._done = size

    def _restart(self) -> None:
        self._part.seek(0)
        self._part.truncate(0)
        self._digest, self._done = hashlib.sha256(), 0

    def _attempt(self) -> None:
        """One request from where we are to the end. Raises Lost when it did not get there."""
        import httpx

        try:
            with self._client.stream("GET", self._wanted.url, headers=self._asking()) as answer:
                if self._begin(answer):
                    # As they arrive: larger pieces would be lost, unfinished, when the connection breaks.
                    for block in answer.iter_raw():
                        self._take(block)
        except (httpx.InvalidURL, httpx.UnsupportedProtocol, httpx.TooManyRedirects) as error:
            raise Lost(f"leads nowhere: {error}", final=True, hint="Correct the address.") from error
        except httpx.HTTPError as error:
            if not self._done and refused_connection(error):
                raise Lost(
                    "cannot be reached: nobody listens there", final=True, hint="Correct the address."
                ) from error
            raise Lost(f"broke off after {self._done} bytes: {error or type(error).__name__}") from error
        if self._note.size is not None and self._done < self._note.size:
            raise Lost(f"broke off after {self._done} of {self._note.size} bytes")

    def _asking(self) -> dict[str, str]:
        asked = {**self._wanted.headers, "Accept-Encoding": "identity"}
        if self._done:
            asked["Range"] = f"bytes={self._done}-"
            if self._note.version and self._wanted.sha256 is None:
                asked["If-Range"] = self._note.version
        return asked

    def _begin(self, answer: httpx.Response) -> bool:
        """Whether bytes follow. The whole file again (200, or another size) starts over."""
        checked(answer)
        if answer.status_code == 416:
            if _total(answer) != self._done:
                self._restart()
                raise Lost("has another length than before")
            return False
        if answer.status_code != 206 or _first(answer) != self._done:
            self._restart()
            if answer.status_code == 206:
                raise Lost("sent another part than was asked for")
        total = _total(answer)
        if self._wanted.size is not None and total not in (None, self._wanted.size):
            raise Lost(f"has {total} bytes instead of {self._wanted.size}", final=True)
        version = self._wanted.sha256 or answer.headers.get("etag") or answer.headers.get("last-modified") or ""
        self._note = _Note(version, self._wanted.size if self._wanted.size is not None else total)
        _write_note(self._wanted, self._note)
        return True

    def _take(self, block: bytes) -> None:
        if not self._done and not block.startswith(self._wanted.start[: len(block)]):
            raise Lost(f"sends {looks_like(block[:64])} instead of a model", final=True, hint="Correct the address.")
        view = memoryview(block)
        while view:
            view = view[self._part.write(view) or 0 :]
        self._digest.update(block)
        before, self._done = self._done, self._done + len(block)
        if before // BLOCK != self._done // BLOCK or self._done == self._note.size:
            self._report(Progress(self._wanted.path.name, "download", self._done, self._note.size))

    def _finish(self) -> Fetched:
        wanted, sha256 = self._wanted, self._digest.hexdigest()
        if not self._done:
            raise DownloadFailed(f"{sane(wanted.url)} is empty.", hint="Correct the address.")
        if wanted.sha256 not in (None, sha256) or (wanted.size is not None and self._done != wanted.size):
            self._restart()
            raise DownloadFailed(
                f"{wanted.path.name} came with the SHA-256 {sha256} instead of {wanted.sha256}; it was thrown away.",
                hint="Try again, without a proxy or mirror between if it happens twice.",
            )
        os.fsync(self._part.fileno())
        os.replace(wanted.part, wanted.path)
        status = wanted.path.stat()
        _write_note(wanted, _Note(sha256, status.st_size, sha256, status.st_mtime_ns))
        return Fetched(wanted.path, self._done, sha256, new=True)


def _hashed(file: BinaryIO, digest: hashlib._Hash, wanted: Wanted, report: Report) -> hashlib._Hash:
    done, total = 0, os.fstat(file.fileno()).st_size
    while block := file.read(BLOCK):
        digest.update(block)
        done += len(block)
        report(Progress(wanted.path.name, "verify", done, total))
    return digest


def _first(answer: httpx.Response) -> int | None:
    """Where the sent part begins: ``Content-Range: bytes 5-9/10`` is 5."""
    begin = answer.headers.get("content-range", "").removeprefix("bytes ").partition("-")[0].strip()
    return int(begin) if begin.isdigit() else None


def _total(answer: httpx.Response) -> int | None:
    """The size of the whole file, if the server says it."""
    if answer.status_code in (206, 416):
        total = answer.headers.get("content-range", "").rpartition("/")[2].strip()
    else:
        total = answer.headers.get("content-length", "")
    return int(total) if total.isdigit() else None


def _read_note(wanted: Wanted) -> _Note | None:
    try:
        return msgspec.json.decode(wanted.note.read_bytes(), type=_Note)
    except (OSError, msgspec.MsgspecError):
        return None


def _write_note(wanted: Wanted, note: _Note) -> None:
    fresh = wanted.note.with_name(f"{wanted.note.name}.new")
    fresh.write_bytes(msgspec.json.encode(note))
    os.replace(fresh, wanted.note)


def _disk(wanted: Wanted, error: OSError) -> HomeError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return HomeError(
            f"The disk of {wanted.path.parent} became full while {wanted.path.name} was fetched.",
            hint="Free some space and run the same command again: it goes on where it stopped.",
        )
    return HomeError(
        f"{wanted.path.name} could not be written to {wanted.path.parent}: {error.strerror or error}.",
        hint="Make the folder writable, or set HOSTLER_HOME to another one.",
    )
