"""Saved prompts: what is kept, what it brought, and clearing it."""

from __future__ import annotations

from typing import Annotated

from litestar import Controller, get, post
from litestar.params import Body

from hostler.gateway.admin import views
from hostler.gateway.admin.problems import fails
from hostler.gateway.admin.wanted import Wanted
from hostler.wire.caching import CacheCleared, CacheSettings, CacheStatus, ClearOptions


class CacheRoutes(Controller):
    """`/api/models/cache`."""

    path = "/api/models/cache"
    tags = ("Saved prompts",)

    @get("/status", summary="Saved prompts", responses=fails())
    async def status(self, services: Wanted) -> CacheStatus:
        """Each conversation that is kept, with its size and what it has spared; totals, measured rates, and with which
        engines it does not work."""
        return await services.prompts.status()

    @get("/settings", summary="What bounds saved prompts", responses=fails())
    async def settings(self, services: Wanted) -> CacheSettings:
        """The `[kv]` settings in force, the budget as bytes at this moment, and the folder."""
        return await services.prompts.settings()

    @post("/clear", status_code=200, summary="Remove saved prompts", responses=fails(400, 404, 413))
    async def clear(
        self,
        services: Wanted,
        data: Annotated[ClearOptions | None, Body(description="Only those that one profile saved.")] = None,
    ) -> CacheCleared:
        """All of them; engines with which it did not work are then tried again."""
        profile = data.profile if data else None
        return await services.prompts.clear(profile and await views.resolved(services.catalogue, profile))
