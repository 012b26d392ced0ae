"""Which disk a file lies on."""

from __future__ import annotations

import os
from pathlib import Path

MOUNTS = Path("/proc/self/mountinfo")


def disk_of(file: Path) -> str:
    """A name for the file system that holds ``file``, the same after a restart: its kind and source where the system
    tells them, else the number of its device. "" when the file is not there."""
    try:
        number = file.stat().st_dev
    except OSError:
        return ""
    return _mounted(f"{os.major(number)}:{os.minor(number)}") or f"device {number}"


def _mounted(device: str) -> str | None:
    """From a line such as ``36 35 98:0 /sub /mnt rw,noatime shared:1 - ext4 /dev/sda1 rw``."""
    try:
        lines = MOUNTS.read_text(errors="replace").splitlines()
    except OSError:
        return None
    for line in lines:
        about, found, source = line.partition(" - ")
        if found and about.split()[2:3] == [device]:
            return " ".join(source.split()[:2])
    return None
