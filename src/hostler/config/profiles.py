"""What concerns several profiles at once: `extends`, names, aliases; and values that contradict each other.

A profile that extends another starts from everything that one says, its own bases included. Tables merge key by
key, lists are replaced. Two things are not taken over: `aliases`, because a name means one profile, and `pin`,
because two pinned profiles for one model hold its memory twice.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import msgspec

from hostler.config.auto import wrong_with_autos
from hostler.config.layers import Given, Problem, Reading, Source, ask, nearest
from hostler.config.names import LONGEST_NAME, NAME, Names
from hostler.config.presets.checking import wrong_with_requests
from hostler.config.programs import wrong_with
from hostler.config.settings import Config
from hostler.config.shape import EXTENDS, KeyPath
from hostler.errors import UnknownProfile

NOT_INHERITED = frozenset({"aliases", "pin"})
RESERVED = frozenset({"auto"})
_ALIAS = re.compile(r"[^\s\x00-\x1f\x7f]+")
_ABOVE_ZERO = ("body", "head", "connect_s", "first_byte_s", "idle_stream_s", "load_s", "kill_s")

Own = dict[KeyPath, Given]


class Reference(msgspec.Struct, frozen=True):
    """A key that names a profile which does not exist, and the names that come near."""

    key: str
    name: str
    nearest: tuple[str, ...]

    def __str__(self) -> str:
        return f'{self.key}: no profile or model is named "{self.name}"{ask(self.nearest)}'


def inherit(reading: Reading) -> dict[str, Own]:
    """Every profile's values, by their path inside the profile, with `extends` followed and left out."""
    own: dict[str, Own] = {name: {} for name in reading.profiles}
    for path, given in reading.given.items():
        if path[0] == "profiles":
            own[path[1]][path[2:]] = given
    return {name: _with_bases(name, own, reading) for name in own}


def _with_bases(name: str, own: dict[str, Own], reading: Reading) -> Own:
    merged: Own = {}
    for ancestor in reversed(_chain(name, own, reading)):
        merged.update({path: given for path, given in own[ancestor].items() if path[0] not in NOT_INHERITED})
    merged.update(own[name])
    merged.pop((EXTENDS,), None)
    return merged


def _chain(name: str, own: dict[str, Own], reading: Reading) -> list[str]:
    """``name`` and its bases, nearest first; what is wrong with the chain is noted."""
    chain = [name]
    while link := own[chain[-1]].get((EXTENDS,)):
        base = str(link.value)
        at: KeyPath = ("profiles", chain[-1], EXTENDS)
        if base not in own:
            reading.blame(link.source, at, f'no profile is named "{base}"{ask(nearest(base, own))}')
            break
        if base in chain:
            # Every member of a cycle comes by here; the one that stands first in the file is blamed.
            cycle = chain[chain.index(base) :]
            first = min(cycle, key=list(own).index)
            if first == name:
                reading.blame(own[name][(EXTENDS,)].source, ("profiles", name, EXTENDS), _circle(cycle))
            break
        chain.append(base)
    return chain


def _circle(cycle: list[str]) -> str:
    return "the profile extends itself: " + " -> ".join([*cycle, cycle[0]])


def check_names(reading: Reading, profiles: dict[str, Own]) -> None:
    """Note names and aliases that are not allowed or mean two things."""
    owners: dict[str, str] = {}
    for name, source in reading.profiles.items():
        if len(name) > LONGEST_NAME or not NAME.fullmatch(name):
            text = f"a name begins with a letter or digit, has letters, digits and . _ : / - and at most {LONGEST_NAME}"
            reading.blame(source, ("profiles", name), text)
        if name in RESERVED:
            reading.blame(source, ("profiles", name), "the name is reserved")
    for name, own in profiles.items():
        given = own.get(("aliases",))
        aliases = given.value if given else ()
        if given and isinstance(aliases, tuple):
            for alias in aliases:
                _check_alias(reading, given.source, name, str(alias), owners)


def _check_alias(reading: Reading, source: Source, name: str, alias: str, owners: dict[str, str]) -> None:
    path: KeyPath = ("profiles", name, "aliases")
    if not _ALIAS.fullmatch(alias) or len(alias) > LONGEST_NAME:
        text = f'"{alias[:LONGEST_NAME]}" is no name: it needs 1 to {LONGEST_NAME} characters without spaces'
        reading.blame(source, path, text)
    elif alias in RESERVED:
        reading.blame(source, path, f'the name "{alias}" is reserved')
    elif alias in reading.profiles:
        reading.blame(source, path, f'"{alias}" is the name of a profile already')
    elif alias in owners:
        reading.blame(source, path, f'"{alias}" is an alias of profile "{owners[alias]}" already')
    else:
        owners[alias] = name


def contradictions(config: Config) -> Iterable[tuple[KeyPath, str]]:
    """Values that are each right but impossible, with the key to blame."""
    yield from wrong_with_autos(config)
    for key in _ABOVE_ZERO:
        if getattr(config.limits, key) == 0:
            yield ("limits", key), "0 would refuse everything; it must be above 0"
    yield from _group_contradictions(config)
    for name, profile in config.profiles.items():
        engine = profile.engine
        if engine.batch is not None and engine.ubatch is not None and engine.ubatch > engine.batch:
            at: KeyPath = ("profiles", name, "engine", "ubatch")
            yield at, f"{engine.ubatch} is wrong: expected at most `batch`, {engine.batch}"
        if profile.embeddings and profile.task == "rerank":
            yield ("profiles", name, "embeddings"), 'a profile with task = "rerank" gives no embeddings'
        for path, wrong in (*wrong_with(profile), *wrong_with_requests(profile)):
            yield ("profiles", name, *path), wrong


def _group_contradictions(config: Config) -> Iterable[tuple[KeyPath, str]]:
    """Groups that nobody is in, or that ask for two things at once."""
    for name, group in config.groups.items():
        members = {profile: each for profile, each in config.profiles.items() if each.group == name}
        key: KeyPath = ("groups", name, "exclusive" if group.exclusive else "together")
        if not members and (group.exclusive or group.together):
            groups = [each.group for each in config.profiles.values() if each.group]
            yield key, f'no profile has `group = "{name}"`{ask(nearest(name, groups))}'
        if group.exclusive and group.together:
            yield ("groups", name, "together"), "a group cannot be `exclusive` and `together`"
        pinned = [profile for profile, each in members.items() if each.pin]
        if group.exclusive and len(pinned) > 1:
            both = " and ".join(f'"{profile}"' for profile in pinned)
            yield ("profiles", pinned[1], "pin"), f'{both} are pinned, but at most one of group "{name}" may be loaded'


def unknown_references(config: Config, known_names: Iterable[str]) -> list[Reference]:
    """What `default` and `preload` name that is neither in the config nor in ``known_names`` (found models)."""
    found = [*config.auto, *known_names]
    names = Names([*((name, profile.aliases) for name, profile in config.profiles.items()), *((n, ()) for n in found)])
    asked = [("gateway.default", config.gateway.default)] if config.gateway.default is not None else []
    asked += [("gateway.preload", name) for name in config.gateway.preload]
    asked += [
        (f"auto.{auto}.{key}", name)
        for auto, each in config.auto.items()
        for key, named in (("profiles", each.profiles), ("fallback", each.fallback))
        for name in named
    ]
    return [Reference(key, name, tuple(names.nearest(name))) for key, name in asked if name and not _known(names, name)]


def _known(names: Names, name: str) -> bool:
    try:
        names.resolve(name)
    except UnknownProfile:
        return False
    return True


def problems(reading: Reading) -> tuple[Problem, ...]:
    """All that was noted, file first and by line."""
    kinds = ("default", "file", "env", "flag")
    return tuple(sorted(reading.problems, key=lambda p: (kinds.index(p.source.kind), p.source.line or 0)))
