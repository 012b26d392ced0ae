"""GPUs, as far as the kernel shows them, and their drivers."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

from hostler.cli.doctor.findings import Finding, Ground, ok, warn

CHECK = "devices"
NVIDIA_VERSION = Path("/proc/driver/nvidia/version")


def check(_ground: Ground) -> Iterator[Finding]:
    """Which GPUs there are, and whether this user may open them; whether the build can, its own check says."""
    if sys.platform == "darwin":
        yield ok(CHECK, "The GPU of this Mac is used through Metal.")
        return
    found = [*_nvidia(Path("/dev")), *_amd(Path("/dev/kfd"))]
    yield from found or [ok(CHECK, "No GPU is visible; engines run on the CPU.")]


def _nvidia(dev: Path) -> Iterator[Finding]:
    nodes = [node for node in sorted(dev.glob("nvidia*")) if re.fullmatch(r"nvidia\d+", node.name)]
    if not nodes:
        return
    named = f"{len(nodes)} NVIDIA GPU{'' if len(nodes) == 1 else 's'}"
    driver = driver_version(NVIDIA_VERSION)
    if driver is None:
        yield warn(CHECK, f"{named}, but no driver is loaded.", "Install NVIDIA's driver, or load it: modprobe nvidia.")
    elif not all(_opens(node) for node in nodes):
        yield warn(CHECK, f"{named}, but this user may not open them.", f"Give the user access to {nodes[0]}.")
    else:
        yield ok(CHECK, f"{named}, driver {driver}.")


def _amd(node: Path) -> Iterator[Finding]:
    if not node.exists():
        return
    if _opens(node):
        yield ok(CHECK, "An AMD GPU with ROCm's kernel driver.")
    else:
        yield warn(
            CHECK, f"An AMD GPU, but this user may not open {node}.", "Add the user to the groups render and video."
        )


def driver_version(file: Path) -> str | None:
    """The version of the loaded NVIDIA driver, from what its kernel module says; None without one."""
    try:
        match = re.search(r"Kernel Module.*?(\d+\.\d[\d.]*)", file.read_text("utf-8", "replace"))
    except OSError:
        return None
    return match[1] if match else "unknown"


def _opens(node: Path) -> bool:
    import os

    return os.access(node, os.R_OK | os.W_OK)
