"""The configuration while the gateway runs: read again when the file changes or somebody asks."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping

import anyio
import anyio.to_thread
import msgspec

from hostler import log
from hostler.config.diff import changed_profiles, waiting
from hostler.config.doubtful import doubtful
from hostler.config.load import Loaded, load, show
from hostler.config.settings import Config, Home
from hostler.config.watch import watch
from hostler.errors import ConfigError
from hostler.events import Bus, ConfigRejected, ConfigReloaded
from hostler.fleet.owner import FleetOwner
from hostler.fleet.profiles.catalogue import ProfileCatalogue
from hostler.fleet.profiles.declared import unplaceable
from hostler.fleet.profiles.pinned import impossible
from hostler.hardware.facts import Machine
from hostler.wire.management import ConfigValue, Reloaded


class RunningConfig:
    """The configuration in force. A broken edit changes nothing; :attr:`problem` then says why.

    A change takes effect at once, without touching instances whose profiles did not change, but for the settings in
    :data:`hostler.config.diff.AT_START`.
    """

    def __init__(
        self, home: Home, flags: Mapping[str, object], loaded: Loaded, bus: Bus, machine: Callable[[], Machine]
    ) -> None:
        self._home = home
        self._flags = flags
        self._loaded = loaded
        self._started = loaded.config
        self._bus = bus
        self._reading = anyio.Lock()
        self.problem = ""
        self._machine = machine
        #: Called with what is in force now, after each change; must not fail.
        self.apply: Callable[[Config], None] = lambda _: None

    @property
    def config(self) -> Config:
        """What is in force."""
        return self._loaded.config

    def shown(self) -> list[ConfigValue]:
        """Every setting with its value and source."""
        return [ConfigValue(key=v.key, value=v.value, source=v.source) for v in show(self._loaded)]

    async def reload(self, catalogue: ProfileCatalogue, fleet: FleetOwner) -> Reloaded:
        """Read everything again and apply it. Raises ConfigError, and keeps the old, when it is wrong."""
        async with self._reading:
            try:
                fresh = load(self._home, os.environ, self._flags)
            except ConfigError as error:
                if error.message != self.problem:
                    self._bus.publish(ConfigRejected(reason=error.message))
                self.problem = error.message
                raise
            difference = changed_profiles(self.config, fresh.config)
            self.problem, self._loaded = "", fresh
            await catalogue.configure(fresh.config)
            fleet.budget.configure(fresh.config.memory)
            fleet.configure(fresh.config.limits)
            fleet.reconfigured()
            self.apply(fresh.config)
        told = Reloaded(
            added=difference.added,
            changed=difference.changed,
            removed=difference.removed,
            warnings=await self.warnings(catalogue),
            waiting=waiting(self._started, fresh.config),
        )
        self._bus.publish(ConfigReloaded(**msgspec.structs.asdict(told)))
        return told

    async def warnings(self, catalogue: ProfileCatalogue) -> tuple[str, ...]:
        """What is right in the configuration and can never come true on this machine, or cannot be meant."""
        return tuple(await anyio.to_thread.run_sync(self._doubts, catalogue))

    def _doubts(self, catalogue: ProfileCatalogue) -> list[str]:
        config = self.config
        pinned = any(profile.pin for profile in config.profiles.values())
        return [
            *doubtful(config, os.environ),
            *unplaceable(config, self._machine),
            *(impossible(config, catalogue.asked, self._machine()) if pinned else ()),
        ]

    async def warn(self, catalogue: ProfileCatalogue) -> None:
        """Log it, at the start."""
        for reason in await self.warnings(catalogue):
            log.warning("config.impossible", reason=reason)

    async def follow(self, catalogue: ProfileCatalogue, fleet: FleetOwner) -> None:
        """Reload whenever the file changes, until cancelled."""

        async def changed() -> None:
            try:
                await self.reload(catalogue, fleet)
            except ConfigError:
                return  # told as an event, and shown until the file is right again

        await watch(self._home.config_file, changed)
