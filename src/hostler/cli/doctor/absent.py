"""What the configuration names and this machine has not, or not yet: models, builds, programs, profiles of `auto`
names."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from hostler.cli.doctor.library import library_of, without_model
from hostler.config import paths
from hostler.config.settings import Config, Home
from hostler.errors import BuildUnusable, UnknownProfile

if TYPE_CHECKING:
    from hostler.models.library import Scan


def absent(config: Config, config_file: Path | None) -> list[str]:
    """A line for each, by its key and with the nearest names. None is a mistake: it may come while a gateway runs."""
    home = paths.home(os.environ, config_file)
    builds = list(_builds(config, home))
    if not config.profiles and not config.auto:
        return builds
    models = library_of(home, config)
    scan = models.scan()
    missing = [f"profiles.{name}.model: {error}" for name, error in without_model(models, scan, config)]
    return [line.rstrip(" .") for line in (*missing, *builds, *_programs(config), *_members(config, scan))]


def _builds(config: Config, home: Home) -> Iterator[str]:
    from hostler.engines.building.installed import FOLDER
    from hostler.engines.builds import Builds

    named = {f"profiles.{name}.engine.build": profile.engine.build for name, profile in config.profiles.items()}
    builds = Builds(home.cache, home.state / FOLDER)
    for key, name in {"engines.default_build": config.engines.default_build, **named}.items():
        try:
            if name is not None:
                builds.check(name)
        except BuildUnusable as error:
            yield f"{key}: {error}"


def _programs(config: Config) -> Iterator[str]:
    commands = {name: one.engine for name, one in config.profiles.items() if one.engine.kind == "command"}
    for name, engine in commands.items():
        for key, words in (("argv", engine.argv), ("stop", engine.stop)):
            if words and shutil.which(os.path.expanduser(words[0])) is None:
                yield f"profiles.{name}.engine.{key}: `{words[0]}` is not there or cannot be executed"


def _members(config: Config, scan: Scan) -> Iterator[str]:
    from hostler.fleet.profiles.shelf import view

    names = view(config, scan).names
    for name, auto in config.auto.items():
        for key, listed in (("profiles", auto.profiles), ("fallback", auto.fallback)):
            for member in listed:
                try:
                    names.resolve(member)
                except UnknownProfile as error:
                    yield f"auto.{name}.{key}: {error.message}"
