"""Engine log files: written by the gateway, private, rotated by size; and reading them back."""

from __future__ import annotations

import os
import re
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import anyio

POLL_S = 0.25

_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")


def path_for(logs: Path, profile: str) -> Path:
    """Where the engine of ``profile`` logs: ``logs/engines/PROFILE.log``."""
    name = _UNSAFE.sub("_", profile).lstrip(".") or "_"
    return logs / "engines" / f"{name}.log"


class LogFile:
    """Appends lines to a file of mode 0600 in a folder of mode 0700.

    ``bounds`` says, each time, the bytes at which the file becomes ``.1`` (that one ``.2``, and so on) and how many are
    kept so. A disk that cannot be written
    costs the lines, not the engine: ``failed`` then says why. Occurrences of ``secret`` are masked.
    """

    def __init__(self, path: Path, bounds: Callable[[], tuple[int, int]], *, secret: str = "") -> None:
        self.path = path
        self.failed: OSError | None = None
        self._bounds = bounds
        self._secret = secret
        self._file: BinaryIO | None = None
        self._size = 0

    def __enter__(self) -> LogFile:
        self._guarded(self._open)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._guarded(self._close)

    def write(self, lines: Iterable[str]) -> None:
        """Append ``lines``; a newline is added to each. Never raises."""
        text = "".join(f"{line}\n" for line in lines)
        if text:
            data = self._masked(text).encode("utf-8", "replace")
            self._guarded(lambda: self._append(data))

    def _masked(self, text: str) -> str:
        if not self._secret:
            return text
        # llama.cpp itself prints the last four characters of its keys.
        return text.replace(self._secret, "***").replace(f"****{self._secret[-4:]}", "****")

    def _append(self, data: bytes) -> None:
        if self._size and self._size + len(data) > self._bounds()[0]:
            self._rotate()
        if self._file is not None:
            self._file.write(data)
            self._size += len(data)

    def _open(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        os.chmod(self.path.parent, 0o700)
        descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        os.fchmod(descriptor, 0o600)
        self._file = open(descriptor, "ab", buffering=0)  # noqa: SIM115 - closed by _close
        self._size = os.fstat(descriptor).st_size

    def _rotate(self) -> None:
        self._close()
        _, keep = self._bounds()
        for number in range(keep - 1, 0, -1):
            older = self._numbered(number)
            if older.exists():
                older.replace(self._numbered(number + 1))
        if keep:
            self.path.replace(self._numbered(1))
        else:
            self.path.unlink(missing_ok=True)
        while (spare := self._numbered(keep := keep + 1)).exists():  # more were kept before
            spare.unlink()
        self._open()

    def _numbered(self, number: int) -> Path:
        return self.path.with_name(f"{self.path.name}.{number}")

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _guarded(self, action: object) -> None:
        try:
            assert callable(action)
            action()
            self.failed = None
        except OSError as error:
            self.failed = error


class Lines:
    """Bytes to lines of at most ``limit`` bytes; longer ones are cut, the rest of them dropped."""

    def __init__(self, limit: int = 8192) -> None:
        self._limit = limit
        self._rest = b""
        self._dropping = False

    def feed(self, data: bytes) -> list[str]:
        """The lines that ``data`` completes."""
        *whole, self._rest = (self._rest + data).split(b"\n")
        lines = [self._line(each) for each in whole[self._dropping :]]
        if whole:
            self._dropping = False
        if len(self._rest) > self._limit:
            if not self._dropping:
                lines.append(self._line(self._rest))
            self._dropping, self._rest = True, b""
        return lines

    def end(self) -> list[str]:
        """What is left at the end of the stream."""
        rest, self._rest = self._rest, b""
        return [self._line(rest)] if rest and not self._dropping else []

    def _line(self, data: bytes) -> str:
        return data[: self._limit].rstrip(b"\r").decode("utf-8", "replace")


def tail(path: Path, count: int) -> list[str]:
    """The last ``count`` lines of ``path``; empty when there is no such file."""
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return [line.rstrip("\n") for line in deque(file, maxlen=count)]
    except FileNotFoundError:
        return []


async def follow(path: Path) -> AsyncGenerator[str, None]:
    """Lines as they are appended, from the present end of ``path`` on; waits for a file that is not there.

    Survives rotation: the rest of the old file comes first, then the new one from its start. Ends only by
    cancellation.
    """
    file = _opened(path)
    if file is not None:
        file.seek(0, os.SEEK_END)
    lines = Lines()
    try:
        while True:
            fresh = None if file is not None and _same(file, path) else _opened(path)
            # Read after looking for a successor: nothing is written to the old file once there is one.
            for line in lines.feed(file.read() if file is not None else b""):
                yield line
            if fresh is not None:
                if file is not None:
                    file.close()
                file = fresh
                continue
            await anyio.sleep(POLL_S)
    finally:
        if file is not None:
            file.close()


def _opened(path: Path) -> BinaryIO | None:
    try:
        return path.open("rb")
    except FileNotFoundError:
        return None


def _same(file: BinaryIO, path: Path) -> bool:
    """Whether ``path`` still is the open file; True too while there is nothing at ``path``."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return True
