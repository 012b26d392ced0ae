"""The gateway itself: its state, its configuration, reading it again."""

from __future__ import annotations

from litestar import Controller, get, post

from hostler.gateway.admin.problems import fails
from hostler.gateway.admin.wanted import Wanted
from hostler.wire.management import ConfigValue, GatewayStatus, Reloaded


class GatewayRoutes(Controller):
    """`/api/gateway` and `/api/config`."""

    path = "/api"
    tags = ("Gateway",)

    @get("/gateway", summary="State of the gateway", responses=fails())
    async def status(self, services: Wanted) -> GatewayStatus:
        """Version, address, folders, requests in flight, memory per device, and whether it is draining."""
        return services.status()

    @post("/gateway/reload", status_code=200, summary="Read the configuration again", responses=fails(500))
    async def reload(self, services: Wanted) -> Reloaded:
        """Instances whose settings did not change are left alone. A broken file changes nothing (500, with
        file, line and key)."""
        return await services.reload()

    @get("/config", summary="Settings in force", responses=fails())
    async def config(self, services: Wanted) -> list[ConfigValue]:
        """Every setting with its value and who set it: the default, the file, the environment or a flag."""
        return services.config()
