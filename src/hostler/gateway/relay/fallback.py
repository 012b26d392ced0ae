"""What a request by an `auto` name turns to when the profile that was chosen for it fails."""

from __future__ import annotations

from collections.abc import Sequence

from hostler.errors import CredentialMissing, Draining, HostlerError, RequestError, UnknownProfile
from hostler.fleet.protocol import Served


class Fallback:
    """The profiles that are left."""

    __slots__ = ("left",)

    def __init__(self, left: Sequence[Served]) -> None:
        self.left = list(left)

    def next(self, error: HostlerError) -> Served | None:
        """The profile to ask after ``error``; None when none is left, or none could do better.

        What is wrong with the request, an operator's word and the end of the gateway are the same for all of them.
        """
        same = isinstance(error, Draining) or (
            isinstance(error, RequestError) and not isinstance(error, UnknownProfile | CredentialMissing)
        )
        return None if same or not self.left else self.left.pop(0)
