"""What profiles declare to hold: has this machine such devices, and so much of them?"""

from __future__ import annotations

from collections.abc import Iterator

from hostler.cli.doctor.findings import Finding, Ground, problem
from hostler.config.settings import Config

CHECK = "memory"


def check(ground: Ground) -> Iterator[Finding]:
    """A finding for each that can never be loaded."""
    for line in unplaceable_here(ground.config):
        yield problem(CHECK, f"{line}.", "Correct `memory` there: `hostler hardware` shows the devices.")


def unplaceable_here(config: Config) -> list[str]:
    """A line for each device that this machine lacks, or that is too small."""
    if not any(profile.engine.memory for profile in config.profiles.values()):
        return []
    from hostler.fleet.profiles.declared import unplaceable
    from hostler.hardware.inspection import inspect

    return unplaceable(config, inspect)
