"""``/v1/models``: the profiles, as clients of the OpenAI API list them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec

from hostler.accounts.keys import Principal
from hostler.config.presets.choosing import listed
from hostler.config.remotes import host_of
from hostler.config.settings import Task
from hostler.fleet.protocol import Catalogue, Entry, Fleet, found
from hostler.gateway.answering.discreet import plain
from hostler.gateway.door.reach import seen_by
from hostler.wire.management import ProfileState

#: The API wants a time of creation; a profile has none. A constant keeps lists equal between calls.
CREATED: Final = 1_700_000_000


class ModelState(msgspec.Struct, frozen=True, kw_only=True):
    """What Hostler knows of a profile beyond the OpenAI API."""

    state: ProfileState
    task: Task | None
    context_length: int | None
    description: str
    aliases: tuple[str, ...]
    slots: int
    default: bool
    warm: bool
    remote: str | None
    problem: str | None


class ModelObject(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of ``/v1/models``."""

    id: str
    object: str = "model"
    created: int = CREATED
    owned_by: str = "hostler"
    context_length: int | None
    hostler: ModelState


class ModelList(msgspec.Struct, frozen=True, kw_only=True):
    """``GET /v1/models``."""

    object: str = "list"
    data: tuple[ModelObject, ...]


class Models:
    """Answers ``/v1/models`` and ``/v1/models/{id}``."""

    def __init__(self, catalogue: Catalogue, fleet: Fleet, *, discreet: bool = False) -> None:
        self._catalogue = catalogue
        self._fleet = fleet
        self._discreet = discreet

    def seen_by(self, principal: Principal) -> Models:
        """The same, of what that key may use."""
        return Models(seen_by(principal, self._catalogue), self._fleet, discreet=principal.scope != "admin")

    async def listed(self) -> ModelList:
        """All profiles that are not hidden, with the presets that they say they have; models that came just now too."""
        await self._catalogue.refresh()
        default = self._catalogue.default()
        shown = (entry for entry in self._catalogue.entries() if not entry.profile.hidden)
        return ModelList(data=tuple(each for entry in shown for each in self._with_presets(entry, default)))

    async def one(self, name: str) -> ModelObject:
        """The profile that ``name`` means, hidden ones, aliases and presets included; raises UnknownProfile."""
        meant = await found(self._catalogue, name)
        default = self._catalogue.default()
        one = next(self._object(entry, default) for entry in self._catalogue.entries() if entry.name == meant.name)
        by_preset = meant.preset and name != meant.name and name.endswith(f":{meant.preset}")
        return _as_preset(one, meant.preset) if by_preset else one

    def _with_presets(self, entry: Entry, default: str | None) -> Iterator[ModelObject]:
        one = self._object(entry, default)
        yield one
        for preset in listed(entry.profile):
            yield _as_preset(one, preset)

    def _object(self, entry: Entry, default: str | None) -> ModelObject:
        state = self._fleet.profile(entry.name).state
        return ModelObject(
            id=entry.name,
            context_length=entry.context,
            hostler=ModelState(
                state=state,
                task=entry.task,
                context_length=entry.context,
                description=entry.profile.description,
                aliases=entry.profile.aliases,
                slots=entry.profile.slots,
                default=entry.name == default,
                warm=state == "ready",
                remote=host_of(entry.profile.engine),
                problem=None if entry.problem is None else self._told(entry.problem.message),
            ),
        )

    def _told(self, problem: str) -> str:
        return plain(problem) if self._discreet else problem


def _as_preset(one: ModelObject, preset: str) -> ModelObject:
    about = msgspec.structs.replace(one.hostler, aliases=(), default=False)
    return msgspec.structs.replace(one, id=f"{one.id}:{preset}", hostler=about)
