"""Saved prompts as the management API shows them."""

from __future__ import annotations

import msgspec


class SavedPrompt(msgspec.Struct, frozen=True, kw_only=True):
    """One conversation that is kept. ``tenant`` is the key's name it belongs to, `local` without keys.

    Times in seconds since the Unix epoch; ``computing_s`` is what reading the prompt again would take, ``saved_s``
    what it has spared so far.
    """

    id: str
    profile: str
    tenant: str
    tokens: int
    bytes: int
    saved_at: float
    used_at: float
    computing_s: float
    hits: int
    saved_s: float


class CacheStatus(msgspec.Struct, frozen=True, kw_only=True):
    """Saved prompts and what they brought: slots ``saved``, ``restored`` and ``used`` since the first one.

    ``problem`` says why nothing can be saved now, ``abandoned`` with which engines it does not work.
    """

    persist: bool
    bytes: int
    budget: int
    prompts: tuple[SavedPrompt, ...]
    saved: int
    restored: int
    used: int
    saved_s: float
    save_bytes_per_s: float
    restore_bytes_per_s: float
    problem: str = ""
    abandoned: dict[str, str] = {}


class CacheCleared(msgspec.Struct, frozen=True, kw_only=True):
    """What was removed."""

    prompts: int
    bytes: int


class CacheSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What is in force; ``budget`` in bytes as it comes to now, ``folder`` where the files are."""

    persist: bool
    budget: int
    age_s: float
    least_tokens: int
    folder: str


class ClearOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``profile`` (or an alias of it) chooses whose prompts are removed; None: all."""

    profile: str | None = None
