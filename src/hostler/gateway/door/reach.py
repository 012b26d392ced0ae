"""The catalogue as a key sees it that may use some profiles only."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from hostler.accounts.keys import Principal
from hostler.errors import UnknownProfile
from hostler.fleet.protocol import Catalogue, Entry, Needs, Served


def seen_by(principal: Principal, catalogue: Catalogue) -> Catalogue:
    """``catalogue`` itself, or what of it this key may use."""
    return Reach(principal, catalogue) if principal.profiles else catalogue


class Reach:
    """See :class:`hostler.fleet.protocol.Catalogue`.

    What the key may not use does not exist for it, so that no error tells it other names. An `auto` name stands for
    those of its profiles that the key may use.
    """

    def __init__(self, principal: Principal, catalogue: Catalogue) -> None:
        self._principal = principal
        self._catalogue = catalogue

    def resolve(self, name: str | None) -> Served:
        try:
            served = self._catalogue.resolve(name)
        except UnknownProfile:
            raise self._unknown(name) from None
        if served.choose is None:
            return self._those((served,), name)[0]
        choose = self._within(served.choose, name)
        return msgspec.structs.replace(choose(Needs())[0], choose=choose)

    async def refresh(self) -> None:
        await self._catalogue.refresh()

    def entries(self) -> list[Entry]:
        return [self._told(entry) for entry in self._catalogue.entries() if self._sees(entry)]

    def default(self) -> str | None:
        name = self._catalogue.default()
        return name if name is not None and self._principal.may_use(name) else None

    def _within(
        self, choose: Callable[[Needs], tuple[Served, ...]], name: str | None
    ) -> Callable[[Needs], tuple[Served, ...]]:
        may_use = self._principal.may_use

        def chosen(needs: Needs) -> tuple[Served, ...]:
            allowed = msgspec.structs.replace(needs, suits=lambda one: may_use(one.name) and needs.suits(one))
            return self._those(choose(allowed), name)

        return chosen

    def _those(self, found: tuple[Served, ...], name: str | None) -> tuple[Served, ...]:
        allowed = tuple(one for one in found if self._principal.may_use(one.name))
        if not allowed:
            raise self._unknown(name)
        return allowed

    def _sees(self, entry: Entry) -> bool:
        return self._means(entry.name) if entry.origin == "auto" else self._principal.may_use(entry.name)

    def _means(self, name: str) -> bool:
        try:
            self.resolve(name)
        except UnknownProfile:
            return False
        return True

    def _told(self, entry: Entry) -> Entry:
        """An `auto` name says which names it stands for: of those, what this key may use."""
        if entry.origin != "auto":
            return entry
        profile, names = entry.profile, entry.profile.model
        mine = ", ".join(name for name in names.split(", ") if self._means(name))
        told = msgspec.structs.replace(profile, model=mine, description=profile.description.replace(names, mine))
        return msgspec.structs.replace(entry, profile=told)

    def _unknown(self, name: str | None) -> UnknownProfile:
        hint = "`GET /v1/models` lists those that it may use."
        if name is None:
            return UnknownProfile("The request names no model, and this key may not use the default.", hint=hint)
        return UnknownProfile(f"This key may use no profile named {name!r}.", hint=hint)
