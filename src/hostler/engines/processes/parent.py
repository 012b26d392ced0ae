"""Ending with the gateway that started us: used inside the child, before anything else.

Linux: the kernel kills the child when the gateway ends (`PR_SET_PDEATHSIG`). Elsewhere, and as a second
line, whoever holds the other end of the status channel is gone when reading it gives end-of-file.
"""

from __future__ import annotations

import os
import signal
import sys

PARENT_PID = "HOSTLER_PARENT_PID"
STATUS_FD = "HOSTLER_STATUS_FD"

#: Alone on the command line of a launcher: it gets ready, then waits to be told what to run.
WAIT = "--wait"

_PR_SET_PDEATHSIG = 1


def die_with_parent() -> None:
    """Make sure that this process does not outlive its parent; exits if that is gone already.

    SIGKILL, not SIGTERM: a load is one long call into native code that no Python handler can end.
    """
    expected = int(os.environ.pop(PARENT_PID, "0"))
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    # The parent may have ended before the line above; its child then has another parent.
    if expected and os.getppid() != expected:
        os._exit(1)


def status_fd() -> int | None:
    """The descriptor of the status channel, when the parent passed one."""
    text = os.environ.pop(STATUS_FD, "")
    return int(text) if text else None


def told_later() -> tuple[list[str], dict[str, str]]:
    """Wait for one line on standard input, ``{"argv": [...], "env": {...}}``; ends with it when nobody will tell."""
    import json

    line = sys.stdin.readline()
    if not line:
        os._exit(0)
    told = json.loads(line)
    with open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    return told["argv"], told["env"]
