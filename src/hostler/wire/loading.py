"""Ways to load a model's files, compared, as the management API shows them."""

from __future__ import annotations

from typing import Literal

import msgspec

from hostler.config.settings import LoadMode


class ModeLoad(msgspec.Struct, frozen=True, kw_only=True):
    """One load: seconds until a token was generated, what that comes to in GB of files per second, and the bytes that
    the engine then held, per device (on the host with the pages of its files)."""

    load_s: float
    gb_per_s: float
    held: dict[str, int]


class ModeFigures(msgspec.Struct, frozen=True, kw_only=True):
    """One way to load: with nothing of the files in the page cache, and with all of them."""

    mode: LoadMode
    cold: ModeLoad
    warm: ModeLoad


class LoadComparison(msgspec.Struct, frozen=True, kw_only=True):
    """The latest comparison of a profile. ``bytes`` is the size of its files.

    ``dropped`` is False where the system cannot drop files from the page cache: all loads are then warm. ``chosen`` is
    used from now on for ``load_mode = "auto"``, with all models of that size class on that disk and build.
    """

    profile: str
    state: Literal["running", "done", "failed"]
    at: float
    bytes: int = 0
    disk: str = ""
    build: str = ""
    size_class: str = ""
    dropped: bool = True
    modes: tuple[ModeFigures, ...] = ()
    chosen: LoadMode | None = None
    why: str = ""
    reason: str = ""
    code: str = ""


class ChosenMode(msgspec.Struct, frozen=True, kw_only=True):
    """What is used for models of that size class on that disk with that build, and why."""

    disk: str
    build: str
    size_class: str
    mode: LoadMode
    why: str
    at: float


class LoadModeStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What was chosen so far, and the comparisons since the gateway started, oldest first."""

    chosen: tuple[ChosenMode, ...]
    comparisons: tuple[LoadComparison, ...]


class CompareOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Whose files are loaded: a profile or an alias."""

    profile: str
