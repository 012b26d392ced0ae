"""The structs of ``/api/usage``."""

from __future__ import annotations

from typing import Literal

import msgspec

By = Literal["profile", "key", "day", "api"]


class Use(msgspec.Struct, frozen=True, kw_only=True):
    """Finished requests added up.

    ``name`` is the profile, key, API, or day (``2026-11-21``, by the gateway's clock); empty in a total. ``failed``
    leaves out those that were ``cancelled``. ``tokens_cached`` of ``tokens_in`` came from a cache. Waiting and the
    first byte are means; the speeds are of all tokens whose time an engine told. None where nothing was told.
    """

    name: str
    requests: int
    failed: int
    cancelled: int
    tokens_in: int
    tokens_cached: int
    tokens_out: int
    wait_ms: float | None
    first_byte_ms: float | None
    prompt_tokens_per_s: float | None
    generated_tokens_per_s: float | None
    last_at: float | None


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """``GET /api/usage``: days in their order, all else the most used first; ``total`` is of everything, also of what
    the bound on rows left out. ``since`` and ``until`` are Unix seconds."""

    by: By
    since: float | None
    until: float | None
    rows: tuple[Use, ...]
    total: Use
