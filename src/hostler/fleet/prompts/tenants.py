"""Whose words an instance's slots hold. Pure.

A slot's file holds the prompt of the last request in it. Which slot a request got is the engine's choice, so with
several slots everybody who was ever let in may be in any of them. A single slot holds nothing but the last request
that it finished.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec


class Tenancy(msgspec.Struct, frozen=True):
    """Who is who: the tenant that a principal's name means now, and the only one there can be (None: several)."""

    of: Callable[[str], str]
    only: Callable[[], str | None]


class Users:
    """The tenants that may have left something in the slots of one instance."""

    def __init__(self, slots: int) -> None:
        self._slots = slots
        self._tenants: set[str] = set()

    def entered(self, tenant: str) -> None:
        """A request of ``tenant`` may reach the engine from now on, or its saved slots were restored."""
        self._tenants.add(tenant)

    def finished(self, tenant: str) -> None:
        """The engine said what a request of ``tenant`` took: it was the last in its slot."""
        if self._slots == 1:
            self._tenants = {tenant}

    def only(self) -> str | None:
        """The one tenant that everything in the slots belongs to; None when that is not certain."""
        return next(iter(self._tenants)) if len(self._tenants) == 1 else None
