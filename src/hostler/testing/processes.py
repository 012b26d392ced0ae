"""Whether processes that tests started are there."""

from __future__ import annotations

import os

import psutil


def group_is_gone(pid: int) -> bool:
    """Whether nothing of the process group runs; what has ended may wait to be reaped, by whoever that falls to."""
    return not any(group_of(each.pid) == pid and runs(each) for each in psutil.process_iter())


def group_of(pid: int) -> int | None:
    """Its process group; None for one that is gone."""
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return None


def runs(each: psutil.Process) -> bool:
    """Whether it does; it may wait to be reaped, by whoever that falls to."""
    try:
        return each.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def is_gone(pid: int) -> bool:
    """Whether no process of that number runs."""
    return not psutil.pid_exists(pid) or not runs(psutil.Process(pid))
