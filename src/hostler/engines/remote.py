"""The `remote` driver: servers elsewhere that speak an API. Nothing is started, and nothing is asked of them.

An instance of one is only the right to ask it, at most `slots` times at once, with the key that its profile names.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Protocol, cast

import anyio

from hostler.config.remotes import NO_KEY, address_of
from hostler.config.settings import EngineSettings, Task
from hostler.engines.protocol import Endpoint, LoadSpec, Progress, Ready, Remote, Report
from hostler.errors import RemoteKeyMissing

#: Under this service the keyring has the keys.
SERVICE = "hostler"


class _Ring(Protocol):
    def get_password(self, service: str, name: str) -> str | None: ...


def key_in_ring(name: str) -> str | None:
    """The key in the system's keyring; None when it has none. Blocking; raises RemoteKeyMissing without the package."""
    try:
        ring = cast(_Ring, importlib.import_module("keyring"))
        refused = cast(type[Exception], importlib.import_module("keyring.errors").KeyringError)
    except ImportError as error:
        raise RemoteKeyMissing(
            "The package for the system's keyring is not installed.",
            hint="Install Hostler with it (uv pip install 'hostler[keyring]'), or name a variable in `key_env`.",
        ) from error
    try:
        return ring.get_password(SERVICE, name)
    except (refused, OSError) as error:
        raise RemoteKeyMissing(
            f"The system's keyring cannot be read ({type(error).__name__}).",
            hint="Unlock it, or name an environment variable in `key_env`.",
        ) from error


class Remotes:
    """A :class:`hostler.engines.protocol.Runner` for ``engine.kind = "remote"``. ``ring`` reads the keyring."""

    def __init__(self, environ: Mapping[str, str], ring: Callable[[str], str | None] = key_in_ring) -> None:
        self._environ = environ
        self._ring = ring

    async def preflight(self, spec: LoadSpec) -> None:
        """Raises RemoteKeyMissing."""
        await anyio.to_thread.run_sync(self._key, spec)

    async def run(self, spec: LoadSpec, report: Callable[[Report], None]) -> None:
        """Ready at once, until cancelled."""
        key = await anyio.to_thread.run_sync(self._key, spec)
        report(Ready(endpoint_of(spec, key)))
        await anyio.sleep_forever()

    async def slots_busy(self, endpoint: Endpoint) -> int | None:
        """None: a hung-up request's slot is free when its connection is closed."""
        return None

    async def answers(self, endpoint: Endpoint) -> None:
        """Nothing is asked: whoever asks it next hears."""

    async def progress(self, endpoint: Endpoint) -> Progress | None:
        """As :meth:`slots_busy`."""
        return None

    async def probe(self, endpoint: Endpoint, task: Task) -> float | None:
        """None: to ask something of it would cost its owner money."""
        return None

    def resident_bytes(self, pid: int, spec: LoadSpec) -> dict[str, int] | None:
        """None: there is no process."""
        return None

    def _key(self, spec: LoadSpec) -> str:
        key = self._found(spec.engine, spec.profile)
        if not key.isascii() or not key.isprintable() or " " in key:
            raise RemoteKeyMissing(
                f"The key of {spec.profile!r} has characters that no key has.", hint="Set it again, without quotes."
            )
        return key

    def _found(self, engine: EngineSettings, profile: str) -> str:
        if engine.key_env not in ("", NO_KEY):
            key = self._environ.get(engine.key_env, "").strip()
            if not key:
                raise RemoteKeyMissing(
                    f"The key of {profile!r} is to be in the variable {engine.key_env}, which is not set.",
                    hint="Set it in the environment of `hostler up` and start that anew.",
                )
            return key
        if engine.key_ring:
            key = (self._ring(engine.key_ring) or "").strip()
            if not key:
                raise RemoteKeyMissing(
                    f"The keyring has no key {engine.key_ring!r} for {profile!r}.",
                    hint=f"Put it there: keyring set {SERVICE} {engine.key_ring}",
                )
            return key
        return ""


def endpoint_of(spec: LoadSpec, key: str) -> Endpoint:
    """Where its requests go, and how."""
    engine = spec.engine
    address = address_of(engine.url)
    remote = Remote(
        base=address.base,
        tls=address.tls,
        speaks=engine.speaks,
        model=spec.model.name,
        forward_key=engine.forward_key,
    )
    return Endpoint(address.host, address.port, key, remote)
