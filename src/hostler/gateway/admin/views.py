"""From what the fleet and the catalogue know to what the API shows."""

from __future__ import annotations

from hostler.config.remotes import host_of
from hostler.errors import NotFound
from hostler.fleet.protocol import Catalogue, Entry, Fleet, ProfileStanding, found
from hostler.gateway.errors import problem_of
from hostler.wire.management import Instance, ProfileInfo


async def profiles(catalogue: Catalogue, fleet: Fleet) -> list[ProfileInfo]:
    """Every profile with the state of its instance; models that came just now included."""
    await catalogue.refresh()
    default = catalogue.default()
    return [_profile(entry, fleet.profile(entry.name), default) for entry in catalogue.entries()]


async def profile(catalogue: Catalogue, fleet: Fleet, name: str) -> ProfileInfo:
    """One profile by name or alias. Raises UnknownProfile."""
    entry = _named(catalogue, name)
    if entry is None:
        meant = (await found(catalogue, name)).name
        entry = next(entry for entry in catalogue.entries() if entry.name == meant)
    return _profile(entry, fleet.profile(entry.name), catalogue.default())


async def resolved(catalogue: Catalogue, name: str) -> str:
    """The profile that ``name`` means; of an `auto` name, the one that it means now. Raises UnknownProfile."""
    entry = _named(catalogue, name)
    return entry.name if entry and entry.origin != "auto" else (await found(catalogue, name)).name


def _named(catalogue: Catalogue, name: str) -> Entry | None:
    return next((entry for entry in catalogue.entries() if entry.name == name), None)


def instance(fleet: Fleet, wanted: str) -> Instance:
    """One instance by its id. Raises NotFound."""
    for view in fleet.instances():
        if view.id == wanted:
            return view
    raise NotFound(f"There is no instance {wanted}.", hint="`hostler ps` shows those that run.")


def _profile(entry: Entry, standing: ProfileStanding, default: str | None) -> ProfileInfo:
    wanted = entry.profile
    return ProfileInfo(
        name=entry.name,
        description=wanted.description,
        task=entry.task,
        aliases=wanted.aliases,
        model=entry.model.name if entry.model else wanted.model,
        size=entry.model.size if entry.model else None,
        context=entry.context,
        slots=wanted.slots,
        ttl_s=wanted.ttl,
        pin=wanted.pin if standing.pin is None else standing.pin,
        group=wanted.group,
        hidden=wanted.hidden,
        origin=entry.origin,
        default=entry.name == default,
        state=standing.state,
        reason=standing.reason,
        waiting=standing.waiting,
        load_s=standing.load_s,
        tokens_per_s=standing.tokens_per_s,
        need=entry.need,
        remote=host_of(wanted.engine),
        problem=problem_of(entry.problem) if entry.problem else None,
        failure=problem_of(standing.error) if standing.error else None,
        parked=standing.parked,
    )
