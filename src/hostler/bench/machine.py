"""What a page says of where its figures come from; nothing that names the machine."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import time


def system() -> str:
    """Its processors and its kernel."""
    return f"{os.cpu_count()} CPUs, {platform.system()} {platform.release()}"


def conditions() -> str:
    """Of now: the system and how busy it was, what runs the measurement and the embedded engine, the day."""
    return (
        f"{system()}, load average {os.getloadavg()[1]:.1f}; Python {platform.python_version()}; "
        f"xllamacpp {importlib.metadata.version('xllamacpp')}; {time.strftime('%Y-%m-%d')}"
    )
