"""Signals that ended a process. Pure."""

from __future__ import annotations

import signal


def signal_of(returncode: int) -> int:
    """The signal that ended a process: -N by the kernel, 128+N by a shell or shim between; 0 for none."""
    if returncode < 0:
        return -returncode
    return returncode - 128 if 128 < returncode <= 128 + 31 else 0


def name_of(number: int) -> str:
    """``4`` as ``SIGILL (illegal instruction)``."""
    try:
        return f"{signal.Signals(number).name} ({(signal.strsignal(number) or '').lower()})"
    except ValueError:
        return f"signal {number}"
