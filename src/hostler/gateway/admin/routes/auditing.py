"""Who did what."""

from __future__ import annotations

from typing import Annotated

import anyio
from litestar import Controller, get
from litestar.params import QueryParameter

from hostler.gateway.admin.problems import fails
from hostler.gateway.admin.wanted import Wanted
from hostler.wire.audit import AuditRecord

Limit = Annotated[int, QueryParameter(ge=0, le=10_000, description="How many, at most.")]


class AuditRoutes(Controller):
    """`/api/audit`."""

    path = "/api/audit"
    tags = ("Gateway",)

    @get(summary="Who did what", responses=fails(400))
    async def audit(self, services: Wanted, limit: Limit = 100) -> list[AuditRecord]:
        """Loads, unloads, switches, changes of configuration and keys, imports and all else that operators did, newest
        first. What requests for models cause is in the event stream."""
        if services.audit is None:
            return []
        return await anyio.to_thread.run_sync(services.audit.recent, limit)
