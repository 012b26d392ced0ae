"""`hostler up`: the options, the lock on the home, the log, and the gateway inside them."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from pathlib import Path

import anyio
import msgspec

from hostler import log
from hostler.app import Gateway
from hostler.config.load import load
from hostler.config.paths import home
from hostler.hardware.process import process_start_time
from hostler.reports import Reports
from hostler.store.home_lock import Holder, HomeLock


class UpOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What `hostler up` was told. ``announce`` is called once, when requests are accepted."""

    config: Path | None = None
    host: str | None = None
    port: int | None = None
    log_format: str | None = None
    log_level: str | None = None
    profile: str | None = None
    announce: Callable[[Reports], None] | None = None

    def flags(self) -> dict[str, object]:
        """Those that are settings, by dotted key."""
        given = {
            "gateway.host": self.host,
            "gateway.port": self.port,
            "log.format": self.log_format,
            "log.level": self.log_level,
        }
        return {key: value for key, value in given.items() if value is not None}


def run(options: UpOptions) -> int:
    """Serve until a signal; the exit status. Raises HostlerError when it cannot start."""
    folders = home(os.environ, options.config)
    flags = options.flags()
    loaded = load(folders, os.environ, flags)
    log.configure(loaded.config.log, folders.logs)
    lock = HomeLock(folders.state)
    lock.acquire(_holder(""))
    try:
        return anyio.run(
            _serve,
            options,
            lambda: Gateway(folders, flags, loaded),
            lock,
            backend_options={"use_uvloop": _has_uvloop()},
        )
    finally:
        lock.release()
        log.info("gateway.stopped")
        log.close()


async def _serve(options: UpOptions, build: Callable[[], Gateway], lock: HomeLock) -> int:
    gateway = build()
    lock.record(_holder(gateway.url))

    def announce(started: Gateway) -> None:
        if options.announce is not None:
            options.announce(started.reports)

    try:
        await gateway.serve(options.profile, announce)
    finally:
        with anyio.CancelScope(shield=True):
            await gateway.aclose()
    return 0


def _holder(url: str) -> Holder:
    return Holder(os.getpid(), process_start_time(os.getpid()) or 0.0, url)


def _has_uvloop() -> bool:
    return importlib.util.find_spec("uvloop") is not None
