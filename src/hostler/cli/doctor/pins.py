"""Pinned profiles: can they be loaded all at once on this machine?"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from hostler.cli.doctor.findings import Finding, Ground, ok, problem
from hostler.config.settings import Config
from hostler.errors import HostlerError

if TYPE_CHECKING:
    from hostler.fleet.profiles.planning import Asked

CHECK = "pins"


def check(ground: Ground) -> Iterator[Finding]:
    """A finding for each pin that can never hold; nothing where nothing is pinned."""
    pinned = [name for name, profile in ground.config.profiles.items() if profile.pin]
    wrong = impossible_pins(ground.config, ground.home.config_file)
    for text in wrong:
        yield problem(CHECK, f"{text}.", "Unpin one of them, or make one smaller: `hostler plan` shows how.")
    if pinned and not wrong:
        yield ok(CHECK, f"{len(pinned)} pinned profile{' fits' if len(pinned) == 1 else 's fit together'}.")


def impossible_pins(config: Config, config_file: Path | None) -> list[str]:
    """What of the pins can never come true on this machine, even with nothing else on it."""
    if not any(profile.pin for profile in config.profiles.values()):
        return []
    from hostler.cli.plan_subject import look
    from hostler.fleet.profiles.pinned import impossible
    from hostler.hardware.inspection import inspect

    def asked(name: str) -> Asked | None:
        try:
            return look(name, config, config_file)
        except HostlerError:
            return None

    return impossible(config, asked, inspect())
