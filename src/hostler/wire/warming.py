"""Warm-ups as the management API shows them."""

from __future__ import annotations

from typing import Literal

import msgspec


class WarmUp(msgspec.Struct, frozen=True, kw_only=True):
    """The latest warm-up of a profile: loaded if it was not, then made to generate.

    ``loaded`` says that it had to be loaded, ``load_s`` how long that took, ``first_s`` how long the engine then took
    for its few tokens. ``reason`` and ``code`` say why it failed. Times in seconds.
    """

    profile: str
    state: Literal["running", "done", "failed"]
    at: float
    loaded: bool = False
    load_s: float | None = None
    first_s: float | None = None
    tokens_per_s: float | None = None
    reason: str = ""
    code: str = ""


class LoadFigures(msgspec.Struct, frozen=True, kw_only=True):
    """One load: seconds until it was ready, seconds for a short answer after that, tokens per second of that answer."""

    load_s: float
    first_s: float
    tokens_per_s: float | None


class WarmBenchmark(msgspec.Struct, frozen=True, kw_only=True):
    """A load whose files come from the disk against one whose files are in the page cache.

    ``dropped`` is False where the system has no way to drop files from the page cache: both are then warm.
    """

    profile: str
    bytes: int
    dropped: bool
    cold: LoadFigures
    warm: LoadFigures
