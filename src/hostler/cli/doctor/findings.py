"""What a check finds, and what it may look at."""

from __future__ import annotations

from typing import Literal

import msgspec

from hostler.config.settings import Config, Home

Level = Literal["ok", "warn", "problem"]


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One sentence of what was found by ``check``, and in ``hint`` what to do about it."""

    check: str
    level: Level
    message: str
    hint: str = ""


class Ground(msgspec.Struct, frozen=True, kw_only=True):
    """What the checks stand on: the folders, and the configuration (defaults where it is broken)."""

    home: Home
    config: Config


def ok(check: str, message: str) -> Finding:
    """All is well."""
    return Finding(check=check, level="ok", message=message)


def warn(check: str, message: str, hint: str) -> Finding:
    """It works, but not as well as it could."""
    return Finding(check=check, level="warn", message=message, hint=hint)


def problem(check: str, message: str, hint: str) -> Finding:
    """It will not work until someone does something."""
    return Finding(check=check, level="problem", message=message, hint=hint)
