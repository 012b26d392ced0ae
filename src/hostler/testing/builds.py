"""A ``llama-server`` executable that is the fake engine, for whatever takes the path of a build."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path

from hostler.testing.fake_engine.switches import Switches, changed


def write_build(folder: Path, name: str = "llama-server", **switches: bool | int | float | str) -> Path:
    """Write an executable into ``folder`` and return its path.

    It takes llama-server's flags, ``--version`` and ``--help``, and misbehaves by these switches (those of
    :class:`hostler.testing.fake_engine.switches.Switches`). It becomes the fake (exec): no second process.
    Raises UnknownSwitch.
    """
    changed(Switches(), switches)
    path = folder / name
    folder.mkdir(parents=True, exist_ok=True)
    environment = f"FAKE_ENGINE={shlex.quote(json.dumps(switches))}"
    command = f"exec {shlex.quote(sys.executable)} -m hostler.testing.fake_engine"
    path.write_text(f'#!/bin/sh\n{environment}\nexport FAKE_ENGINE\n{command} "$@"\n', encoding="utf-8")
    path.chmod(0o755)
    return path
