"""What every section of the settings is made of."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

# Bounds stand inside the union: msgspec takes none on `int | None` itself.
Natural = Annotated[int, Meta(ge=0)]
Positive = Annotated[int, Meta(ge=1)]
Tokens = Annotated[int, Meta(ge=16)]
NotNegative = Annotated[float, Meta(ge=0)]
Share = Annotated[float, Meta(ge=0, le=1)]
Penalty = Annotated[float, Meta(ge=-2, le=2)]


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What every section is: frozen, and strict about its keys."""
