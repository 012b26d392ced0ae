"""What a new configuration changes: which profiles, and whether a running engine must be started anew for it."""

from __future__ import annotations

import hashlib
from typing import Final

import msgspec

from hostler.config.quantities import encode
from hostler.config.settings import Config, Profile

SHAPING = ("model", "context", "slots", "task", "embeddings", "kv", "placement", "devices", "workload", "engine")

#: What is read at the start alone. Everything else is in force as soon as the file was read again.
AT_START: Final = ("gateway.host", "gateway.port", "gateway.ollama_port", "gateway.preload")


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """Names of profiles, in file order.

    ``restart`` need a new engine process; ``adjusted`` differ only in what the gateway itself applies
    (description, aliases, ttl, pin, sampling, group, hidden) and keep their instance.
    """

    added: tuple[str, ...] = ()
    restart: tuple[str, ...] = ()
    adjusted: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()

    @property
    def changed(self) -> tuple[str, ...]:
        """Both kinds of change."""
        return (*self.restart, *self.adjusted)


def changed_profiles(old: Config, new: Config) -> Difference:
    """What differs between the profiles of two configurations."""
    before, after = old.profiles, new.profiles
    changed = [name for name in after if name in before and after[name] != before[name]]
    restart = [name for name in changed if instance_key(before[name]) != instance_key(after[name])]
    return Difference(
        added=tuple(name for name in after if name not in before),
        restart=tuple(restart),
        adjusted=tuple(name for name in changed if name not in restart),
        removed=tuple(name for name in before if name not in after),
    )


def waiting(started: Config, now: Config) -> tuple[str, ...]:
    """The keys of :data:`AT_START` that say something else ``now`` than when the gateway started."""
    return tuple(key for key in AT_START if _value(started, key) != _value(now, key))


def _value(config: Config, key: str) -> object:
    section, _, name = key.partition(".")
    return getattr(getattr(config, section), name)


def instance_key(profile: Profile) -> str:
    """A short hash of the settings that shape the engine process; the same in every run and version of Python."""
    shaping = {name: getattr(profile, name) for name in SHAPING}
    text = msgspec.json.encode(shaping, enc_hook=encode, order="sorted")
    return hashlib.sha256(text).hexdigest()[:12]
