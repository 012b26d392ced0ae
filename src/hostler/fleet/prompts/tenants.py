"""Who is a tenant. Pure."""

from __future__ import annotations

from collections.abc import Callable

import msgspec


class Tenancy(msgspec.Struct, frozen=True):
    """Who is who: the tenant that a principal's name means now, and the only one there can be (None: several)."""

    of: Callable[[str], str]
    only: Callable[[], str | None]
