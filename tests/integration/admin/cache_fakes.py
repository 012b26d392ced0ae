"""Saved prompts for the management application: one, until it is cleared."""

from __future__ import annotations

import msgspec

from hostler.gateway.admin.examples import EXAMPLES
from hostler.wire.caching import CacheCleared, CacheSettings, CacheStatus


class FakePrompts:
    """Keeps what it was asked to clear."""

    def __init__(self) -> None:
        self.cleared: list[str | None] = []

    async def status(self) -> CacheStatus:
        return msgspec.convert(msgspec.to_builtins(EXAMPLES["get", "/api/models/cache/status"]), CacheStatus)

    async def settings(self) -> CacheSettings:
        return msgspec.convert(msgspec.to_builtins(EXAMPLES["get", "/api/models/cache/settings"]), CacheSettings)

    async def clear(self, profile: str | None = None) -> CacheCleared:
        self.cleared.append(profile)
        return CacheCleared(prompts=1, bytes=8)
