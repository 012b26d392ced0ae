"""The configuration file: is it there, is it right."""

from __future__ import annotations

import os
from pathlib import Path

from hostler.cli.doctor.findings import Finding, ok, problem, warn
from hostler.cli.whereabouts import load_config
from hostler.config.doubtful import doubtful
from hostler.config.remotes import missing_keys
from hostler.config.settings import Config
from hostler.errors import ConfigError

CHECK = "config"


def check(asked: Path | None) -> tuple[Config, list[Finding]]:
    """The configuration (the defaults when it is wrong), and a finding for each mistake."""
    try:
        loaded = load_config(asked)
    except ConfigError as error:
        wrong = error.problems
        return Config(), [problem(CHECK, text, error.hint if text == wrong[-1] else "") for text in wrong]
    if loaded.text is None:
        return loaded.config, [ok(CHECK, f"No {loaded.file} yet; the defaults are in force.")]
    count = len(loaded.config.profiles)
    lines = (*missing_keys(loaded.config, os.environ), *doubtful(loaded.config, os.environ))
    valid = ok(CHECK, f"{loaded.file} is valid, with {count} profile{'' if count == 1 else 's'}.")
    return loaded.config, [valid, *(warn(CHECK, f"{line}.", "") for line in lines)]
