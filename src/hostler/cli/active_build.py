"""Which build profiles use that name none, and whether it leaves a GPU dark."""

from __future__ import annotations

import os
from pathlib import Path

from hostler.engines.building.installed import FOLDER
from hostler.engines.builds import Builds
from hostler.engines.capabilities import MEND, left_dark
from hostler.errors import HostlerError


def known_builds(config_file: Path | None) -> Builds:
    """The builds of this home, with the configured default. Raises ConfigError."""
    from hostler.cli.whereabouts import load_config
    from hostler.config import paths

    home = paths.home(os.environ, config_file)
    default = load_config(config_file).config.engines.default_build
    return Builds(home.cache, home.state / FOLDER, lambda: default)


def dark_gpu(config_file: Path | None) -> str:
    """One line when a GPU is there and the default build cannot use it; empty when all is well or unknown.

    Blocking for some milliseconds; starts nothing. What is wrong with a build that cannot even be asked, loads
    and `hostler doctor` say.
    """
    try:
        build = known_builds(config_file).remembered(None)
    except HostlerError:
        return ""
    if build is None or build.devices:
        return ""
    from hostler.hardware.inspection import inspect

    dark = left_dark(build, inspect().devices)
    return f"{dark} {MEND}" if dark else ""
