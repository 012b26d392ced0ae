"""`auto` names: which of several profiles a request goes to, and which come after it when that one fails."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from hostler.config.names import Names
from hostler.config.settings import Ability, AutoSettings, Config, Profile
from hostler.errors import UnknownProfile
from hostler.fleet.protocol import Entry, Needs, Served
from hostler.models.facts import GgufFacts, Model
from hostler.models.reasoning import thinking_of


class Auto(msgspec.Struct, frozen=True, kw_only=True):
    """An `auto` name. ``profiles`` and ``fallback`` are profiles that exist, `auto` names in them followed."""

    name: str
    settings: AutoSettings
    profiles: tuple[str, ...]
    fallback: tuple[str, ...]

    def chosen(
        self, needs: Needs, served: Callable[[str], Served], loaded: Callable[[str], bool]
    ) -> tuple[Served, ...]:
        """The profile for these needs, then those to fall back to. Raises UnknownProfile when there is none at all.

        The rules narrow the list one after the other, in their order; what the API wants comes before them. One that
        leaves no profile does not count: the request then hears from the engine what it cannot do.

        A remote is as good as loaded where it is the first of those left. Behind others it is not: what was to be
        done here does not go elsewhere because a model has to be loaded first.
        """
        left = [served(profile) for profile in self.profiles]
        if not left:
            raise UnknownProfile(
                f'None of the profiles that "{self.name}" may mean exists.',
                hint=f"Correct `profiles` in [auto.{self.name}]; `hostler config check` says which.",
            )
        left = _those(left, needs.suits)
        for rule in self.settings.rules:
            if rule == "loaded":
                left = _at_hand(left, loaded)
            elif rule == "context":
                left = _those(left, lambda one: needs.tokens <= one.context)
                left = _those(left, lambda one: needs.context <= one.context)
            else:
                left = _those(left, lambda one: needs.abilities <= one.abilities)
        first = left[0]
        spare = [served(name) for name in self.fallback if name != first.name]
        return (first, *(one for one in spare if needs.suits(one)))


def _those(among: Sequence[Served], able: Callable[[Served], bool]) -> list[Served]:
    return [one for one in among if able(one)] or list(among)


def _at_hand(among: Sequence[Served], loaded: Callable[[str], bool]) -> list[Served]:
    return _those(among, lambda one: loaded(one.name) if one.speaks is None else one is among[0])


def autos_of(config: Config, names: Names) -> dict[str, Auto]:
    """Every `auto` name of the configuration, which has no circles."""
    return {
        name: Auto(
            name=name,
            settings=settings,
            profiles=_meant(settings.profiles, config, names),
            fallback=_meant(settings.fallback, config, names),
        )
        for name, settings in config.auto.items()
    }


def _meant(listed: Iterable[str], config: Config, names: Names) -> tuple[str, ...]:
    """The profiles in a list, each once; names that mean nothing now are left out."""
    found: list[str] = []
    for name in listed:
        try:
            known = names.resolve(name)
        except UnknownProfile:
            continue
        inner = config.auto.get(known)
        found += [known] if inner is None else _meant(inner.profiles, config, names)
    return tuple(dict.fromkeys(found))


def abilities_of(profile: Profile, model: Model | None, facts: GgufFacts | None) -> frozenset[Ability]:
    """What a profile can do besides its task: as it says, else by its projector and its chat template."""
    if profile.abilities is not None:
        return frozenset(profile.abilities)
    template = (facts.chat_template if facts is not None else None) or ""
    told: list[tuple[Ability, bool]] = [
        ("tools", "tools" in template),
        ("images", model is not None and model.projector is not None),
        ("reasoning", thinking_of(template).any),
    ]
    return frozenset(ability for ability, can in told if can)


def entries_of(autos: Iterable[Auto], profiles: Mapping[str, Entry]) -> list[Entry]:
    """`auto` names as lists show them: what they may mean, and the most that any of those can take."""
    return [_entry(auto, [profiles[name] for name in auto.profiles if name in profiles]) for auto in autos]


def _entry(auto: Auto, may_be: Sequence[Entry]) -> Entry:
    said = f"{' then '.join(auto.settings.rules) or 'the first'} of {', '.join(auto.settings.profiles)}"
    text = f"{auto.settings.description}: {said}" if auto.settings.description else said
    return Entry(
        name=auto.name,
        profile=Profile(model=", ".join(auto.settings.profiles), description=text, group="auto"),
        origin="auto",
        model=None,
        facts=None,
        task=may_be[0].task if may_be else None,
        context=max((entry.context for entry in may_be if entry.context is not None), default=None),
        need={},
        problem=None if may_be else UnknownProfile(f'None of the profiles that "{auto.name}" may mean exists.'),
    )
