"""A process as it is started: with our ends of its status channel and of its output."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Mapping, Sequence
from types import TracebackType

import anyio.abc

from hostler.engines.processes.group import spawn


class Spawned:
    """A child process. As a context manager it closes the descriptors; ending the process is somebody else's."""

    def __init__(self, child: anyio.abc.Process, status: socket.socket, output: int) -> None:
        self.child = child
        self.status = status
        self.output = output

    def __enter__(self) -> Spawned:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close our ends of its status channel and its output."""
        self.status.close()
        os.close(self.output)


async def spawned(argv: Sequence[str], env: Mapping[str, str], stdin: int = subprocess.DEVNULL) -> Spawned:
    """Start ``argv`` as :func:`hostler.engines.processes.group.spawn` does. Raises BuildUnusable or OSError."""
    status, theirs = socket.socketpair()
    try:
        output, writing = os.pipe()
    except OSError:
        status.close()
        theirs.close()
        raise
    os.set_blocking(output, False)
    try:
        child = await spawn(argv, env, theirs.fileno(), writing, stdin)
    except BaseException:
        status.close()
        os.close(output)
        raise
    finally:
        theirs.close()
        os.close(writing)
    return Spawned(child, status, output)
