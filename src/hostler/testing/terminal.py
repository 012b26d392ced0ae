"""A terminal of one's own for a command: what a user types, and every byte that is written there."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

PATIENCE_S = 45.0
LINES, COLUMNS = 24, 80


class Terminal:
    """A command on a terminal. Reading and writing block; every wait is bounded by :data:`PATIENCE_S`."""

    def __init__(self, process: subprocess.Popen[bytes], descriptor: int) -> None:
        self.process = process
        self.written = b""
        self._descriptor = descriptor
        self._seen = 0

    def until(self, words: str) -> None:
        """Read until ``words`` were written after what was waited for last; AssertionError when they are not."""
        end = time.monotonic() + PATIENCE_S
        while (found := self.written.find(words.encode(), self._seen)) < 0:
            assert time.monotonic() < end, self._told(words)
            assert self._read(), self._told(words)
        self._seen = found + len(words.encode())

    def type(self, keys: str) -> None:
        """As a user would."""
        os.write(self._descriptor, keys.encode())

    def resize(self, columns: int, lines: int) -> None:
        """The terminal has another size now."""
        fcntl.ioctl(self._descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def end(self) -> int:
        """Read the rest; the exit code."""
        while self._read():
            pass
        return self.process.wait(PATIENCE_S)

    def _read(self) -> bool:
        """Take in what came within a second; False once nothing can come any more."""
        ready, _, _ = select.select([self._descriptor], [], [], 1.0)
        try:
            piece = os.read(self._descriptor, 65536) if ready else b""
        except OSError:  # nobody holds the other end
            return False
        self.written += piece
        return bool(piece) or self.process.poll() is None

    def _told(self, words: str) -> str:
        return f"{words!r} was not written: {self.written[self._seen :].decode('utf-8', 'replace')[-2000:]}"


@contextmanager
def terminal(
    command: Sequence[str | Path], base: Mapping[str, str] | None = None, **environment: str
) -> Iterator[Terminal]:
    """Run ``command`` on a terminal of 80x24, with colours; it is killed when the block ends before it.

    Its environment is ``base`` (None: this process's) with ``environment`` on top.
    """
    descriptor, inside = pty.openpty()
    fcntl.ioctl(inside, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
    usual = {**(os.environ if base is None else base), "TERM": "xterm-256color", "NO_COLOR": ""}
    process = subprocess.Popen(
        list(command), stdin=inside, stdout=inside, stderr=inside, start_new_session=True, env=usual | environment
    )
    os.close(inside)
    try:
        yield Terminal(process, descriptor)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        os.close(descriptor)
