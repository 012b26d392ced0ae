"""What operators did, as the management API and `hostler audit` tell it."""

from __future__ import annotations

from typing import Literal

import msgspec

Via = Literal["api", "cli", "file"]


class AuditRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One act. ``at`` in seconds since the Unix epoch.

    ``who``: the name of a key, `local` without keys, or the user of the command line; "" for a file that was edited.
    ``via``: the management API, a command that works without it, or an edited file. Where it was a request, ``address``
    is where it came from and ``status`` what it was answered with; None when whoever asked left before.
    """

    at: float
    who: str
    via: Via
    action: str
    target: str = ""
    detail: str = ""
    status: int | None = None
    address: str = ""
