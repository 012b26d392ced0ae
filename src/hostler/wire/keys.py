"""Keys that are lent to programs, as the management API tells them."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from msgspec import Meta

#: Whoever runs for longer asks again before it is over.
LONGEST_S: Final = 86_400


class Lending(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``POST /api/keys``: a key called ``name``, for models alone and of those for ``profiles``, that ends after so
    many seconds."""

    name: Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
    # No tuple: of one with bounds the document would say that it takes anything.
    profiles: Annotated[list[str], Meta(min_length=1, max_length=64)]
    lasts_s: Annotated[float, Meta(gt=0, le=LONGEST_S)]


class Prolonging(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``POST /api/keys/{name}/prolong``: it ends so many seconds from now."""

    lasts_s: Annotated[float, Meta(gt=0, le=LONGEST_S)]


class LentKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key that is lent. ``key`` is shown once, when it is made, and None where nobody needs one; ``expires`` is in
    seconds since the Unix epoch, None of one that has ended."""

    name: str
    profiles: tuple[str, ...] = ()
    expires: float | None = None
    key: str | None = None
