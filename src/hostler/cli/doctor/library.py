"""The models on this machine: how many, and which are broken."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from hostler.cli.doctor.findings import Finding, Ground, ok, problem, warn
from hostler.cli.whereabouts import load_config
from hostler.config import paths
from hostler.config.quantities import format_bytes
from hostler.config.settings import Config, Home
from hostler.errors import ModelError

if TYPE_CHECKING:
    from hostler.models.facts import Model
    from hostler.models.library import Library, Scan

CHECK = "models"


def library(asked: Path | None) -> Library:
    """The library as the configuration describes it. Raises ConfigError."""
    return library_of(paths.home(os.environ, asked), load_config(asked).config)


def library_of(home: Home, config: Config) -> Library:
    """The library as ``config`` describes it."""
    from hostler.models.library import Library

    roots = [paths.expand(root, os.environ) for root in config.library.roots]
    return Library(home.models, roots, config.library.caches, os.environ)


def check(ground: Ground) -> Iterator[Finding]:
    """What the library holds, what in it cannot be read, and profiles whose model is not there."""
    models = library_of(ground.home, ground.config)
    scan = models.scan()
    broken = [finding for model in scan.models if (finding := _broken(model))]
    if scan.models:
        total = format_bytes(sum(model.size for model in scan.models))
        yield ok(CHECK, f"{len(scan.models)} model{'' if len(scan.models) == 1 else 's'} found, {total} in all.")
    else:
        yield warn(CHECK, "No model was found.", "`hostler starters fetch smollm2` fetches a small one.")
    for found in scan.problems:
        yield warn(CHECK, f"{found.path} {found.reason}.", "Remove it or fetch it again, or correct `[library] roots`.")
    yield from broken
    yield from _missing(models, scan, ground.config)


def _broken(model: Model) -> Finding | None:
    from hostler.models.gguf import read_facts

    try:
        read_facts(model.files)
    except ModelError as error:
        return warn(CHECK, error.message, error.hint)
    return None


def _missing(models: Library, scan: Scan, config: Config) -> Iterator[Finding]:
    for name, error in without_model(models, scan, config):
        yield problem(CHECK, f"Profile {name}: {error.message}", error.hint)


def without_model(models: Library, scan: Scan, config: Config) -> Iterator[tuple[str, ModelError]]:
    """Each profile whose model is not on this disk, and how the library says so."""
    for name, profile in config.profiles.items():
        if profile.engine.kind != "llamacpp":
            continue  # `model` is what its program, or its remote, takes it for
        try:
            models.find(profile.model, scan)
        except ModelError as error:
            yield name, error
