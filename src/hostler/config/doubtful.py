"""Settings that are allowed and cannot be meant: they are warned of, since nothing breaks by them."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Final

from hostler.config.layers import nearest
from hostler.config.names import Names
from hostler.config.programs import PLACES
from hostler.config.settings import Config, EngineSettings
from hostler.errors import UnknownProfile

#: What `stop` may say besides.
_OF_STOP: Final = (*PLACES, "PID")
_PLACE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


def doubtful(config: Config, environ: Mapping[str, str]) -> list[str]:
    """A line for each, by its key. ``environ`` is what programs inherit: they may put its variables in themselves."""
    return [*_rivals(config), *_places(config, environ)]


def _rivals(config: Config) -> Iterator[str]:
    """Profiles to preload that exclude each other."""
    names = Names([(name, profile.aliases) for name, profile in config.profiles.items()])
    wanted = dict.fromkeys(_resolved(names, asked) for asked in config.gateway.preload)
    for group, rule in config.groups.items():
        rivals = [name for name in wanted if name in config.profiles and config.profiles[name].group == group]
        if rule.exclusive and len(rivals) > 1:
            yield f'gateway.preload: only one of {", ".join(rivals)} stays loaded, since group "{group}" is exclusive'


def _resolved(names: Names, asked: str) -> str:
    """The profile's own name; what was asked where that is none."""
    try:
        return names.resolve(asked)
    except UnknownProfile:
        return asked


def _places(config: Config, environ: Mapping[str, str]) -> Iterator[str]:
    commands = {name: one.engine for name, one in config.profiles.items() if one.engine.kind == "command"}
    for name, engine in commands.items():
        inherited = {*environ, *engine.env}
        for key, place, known in _said(engine):
            if place not in known and place not in inherited:
                near = nearest(place, known)
                meant = f"; ${{{near[0]}}} may be meant" if near else f"; known are {', '.join(known)}"
                yield f"profiles.{name}.engine.{key}: nothing is put in for ${{{place}}}{meant}"


def _said(engine: EngineSettings) -> Iterator[tuple[str, str, Collection[str]]]:
    """Every place in its words: the key, the place's name, and what may stand there."""
    for key, words, known in (
        ("argv", engine.argv[1:], PLACES),
        ("stop", engine.stop, _OF_STOP),
        ("env", engine.env.values(), PLACES),
    ):
        for place in dict.fromkeys(found for word in words for found in _PLACE.findall(word)):
            yield key, place, known
