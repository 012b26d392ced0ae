"""Folders, configuration and gateway that a command works on, from its options and the environment."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from hostler.client.locate import Target, locate
from hostler.config import paths

if TYPE_CHECKING:
    from hostler.config.load import Loaded


def config_file(asked: Path | None) -> Path:
    """The configuration file; it need not exist unless it was asked for."""
    return paths.home(os.environ, asked).config_file


def state_folder(asked: Path | None = None) -> Path:
    """Where the state of this home lies."""
    return paths.home(os.environ, asked).state


def load_config(asked: Path | None) -> Loaded:
    """The configuration as the gateway would read it. Raises ConfigError."""
    from hostler.config.load import load

    return load(paths.home(os.environ, asked), os.environ, {})


def find_gateway(url: str | None, asked: Path | None) -> Target:
    """The gateway to talk to. The configuration is read only when neither option nor record tells."""
    home = paths.home(os.environ, asked)
    target = locate(url, home.state)
    if target is not None:
        return target
    from hostler.client.locate import address

    gateway = load_config(asked).config.gateway
    return Target(address(gateway.host, gateway.port), "config")
