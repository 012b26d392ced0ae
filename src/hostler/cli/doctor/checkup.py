"""All checks, in the order in which they are shown."""

from __future__ import annotations

import os
from pathlib import Path

from hostler.cli.doctor import (
    compatibility,
    configuration,
    declared,
    drivers,
    engines,
    folders,
    library,
    machine,
    pins,
    port,
)
from hostler.cli.doctor.findings import Finding, Ground
from hostler.config import paths

CHECKS = (
    machine.check, drivers.check, compatibility.check, engines.check, folders.check, port.check, library.check,
    declared.check, pins.check,
)  # fmt: skip


def examine(config_file: Path | None) -> list[Finding]:
    """Run every check. A broken configuration is a finding, and the others go on with the defaults."""
    config, findings = configuration.check(config_file)
    ground = Ground(home=paths.home(os.environ, config_file), config=config)
    return findings + [finding for check in CHECKS for finding in check(ground)]
