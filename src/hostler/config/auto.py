"""`auto` names: settings that are each right but mean nothing, or themselves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from hostler.config.names import LONGEST_NAME, NAME
from hostler.config.settings import AutoSettings, Config
from hostler.config.shape import KeyPath

Wrong = tuple[KeyPath, str]


def wrong_with_autos(config: Config) -> Iterator[Wrong]:
    """What is wrong with each of them, with the key to blame."""
    aliases = {alias: name for name, profile in config.profiles.items() for alias in profile.aliases}
    for name, auto in config.auto.items():
        at: KeyPath = ("auto", name, "profiles")
        if len(name) > LONGEST_NAME or not NAME.fullmatch(name):
            yield at, f'"{name[:LONGEST_NAME]}" is no name: it has letters, digits and . _ : / -'
        if name in config.profiles:
            yield at, f'"{name}" is the name of a profile already'
        elif name in aliases:
            yield at, f'"{name}" is an alias of profile "{aliases[name]}" already'
        if not auto.profiles:
            yield at, "it is empty; an `auto` name needs the profiles that it may mean"
    yield from _circles(config)


def _circles(config: Config) -> Iterator[Wrong]:
    """Each circle once, by the name in it that stands first in the file. One that is a profile's means that."""
    taken = {*config.profiles, *(alias for profile in config.profiles.values() for alias in profile.aliases)}
    order = [name for name in config.auto if name not in taken]
    for name in order:
        circle = _circle(name, {each: config.auto[each] for each in order})
        if circle is not None and min(circle, key=order.index) == name:
            key = "profiles" if circle[1 % len(circle)] in config.auto[name].profiles else "fallback"
            yield ("auto", name, key), "it comes back to itself: " + " -> ".join([*circle, name])


def _circle(start: str, autos: Mapping[str, AutoSettings]) -> list[str] | None:
    """The way from ``start`` over other `auto` names back to it; None when there is none."""
    seen: set[str] = set()
    ways = [[start]]
    while ways:
        way = ways.pop()
        auto = autos[way[-1]]
        for name in (*auto.profiles, *auto.fallback):
            if name == start:
                return way
            if name in autos and name not in seen:
                seen.add(name)
                ways.append([*way, name])
    return None
