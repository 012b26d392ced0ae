"""Which profiles there are: those in the config, and one for each model that was found."""

from __future__ import annotations

import msgspec

from hostler.config.names import Names
from hostler.config.settings import Config, Profile
from hostler.fleet.profiles.auto import Auto, autos_of
from hostler.fleet.profiles.programs import is_remote
from hostler.models.library import Scan


class Item(msgspec.Struct, frozen=True):
    """A profile; ``origin`` is `config`, or where its model was found."""

    profile: Profile
    origin: str


class View(msgspec.Struct, frozen=True):
    """All profiles by name in their order, what they were made from, and the `auto` names for some of them."""

    config: Config
    scan: Scan
    items: dict[str, Item]
    names: Names
    autos: dict[str, Auto]


def view(config: Config, scan: Scan) -> View:
    """The config's profiles, then found models; a model that a profile already names is hidden, not gone."""
    items = {name: Item(profile, "config") for name, profile in config.profiles.items()}
    used = {profile.model for profile in config.profiles.values() if not is_remote(profile)}
    for model in scan.models:
        if model.name in items:
            continue
        named = bool(used & {model.name, model.path.name, model.path.stem, str(model.path)})
        profile = Profile(model=str(model.path), description="", group="found", hidden=named)
        items[model.name] = Item(profile, model.origin)
    autos: list[tuple[str, tuple[str, ...]]] = [(name, ()) for name in config.auto]
    names = Names([*autos, *((name, item.profile.aliases) for name, item in items.items())])
    return View(config, scan, items, names, autos_of(config, names))
