"""What runs: instances and requests."""

from __future__ import annotations

from typing import Annotated

from litestar import Controller, get, post
from litestar.params import PathParameter, QueryParameter

from hostler.errors import NotFound
from hostler.gateway.admin import views
from hostler.gateway.admin.problems import FROM_ZERO, LAST_MOMENT, fails
from hostler.gateway.admin.wanted import Wanted
from hostler.wire.management import Cancelled, Instance, Requests

Limit = Annotated[int, QueryParameter(ge=0, le=1000, description="How many finished requests, at most.")]
Until = Annotated[
    float | None,
    QueryParameter(
        ge=0, le=LAST_MOMENT, schema_extra=FROM_ZERO, description="Only finished ones that came before; Unix seconds."
    ),
]
OfProfile = Annotated[str | None, QueryParameter(description="Only requests of this profile.")]
Id = Annotated[str, PathParameter(description="The id, as the lists show it.")]


class InstanceRoutes(Controller):
    """`/api/instances`."""

    path = "/api/instances"
    tags = ("Instances",)

    @get(summary="Running engines", responses=fails())
    async def instances(self, services: Wanted) -> list[Instance]:
        """Each engine process: its profile, state, memory per device, requests and speed."""
        return services.fleet.instances()

    @get("/{instance_id:str}", summary="One running engine", responses=fails(400, 404))
    async def instance(self, services: Wanted, instance_id: Id) -> Instance:
        """One engine process, with the command line that it was started with."""
        return views.instance(services.fleet, instance_id)


class RequestRoutes(Controller):
    """`/api/requests`."""

    path = "/api/requests"
    tags = ("Requests",)

    @get(summary="Requests in flight and finished", responses=fails(400))
    async def requests(
        self, services: Wanted, limit: Limit = 50, profile: OfProfile = None, until: Until = None
    ) -> Requests:
        """What waits or runs now, and the newest finished requests with tokens and times, newest first. `until`, the
        `at` of the last one, has those that come after it."""
        running = [view for view in services.fleet.requests() if profile in (None, view.profile)]
        recent = await services.history.recent(limit, profile, until) if limit else ()
        return Requests(in_flight=tuple(running), recent=recent)

    @post("/{request_id:str}/cancel", status_code=200, summary="Cancel a request", responses=fails(400, 404))
    async def cancel(self, services: Wanted, request_id: Id) -> Cancelled:
        """End a queued or running request; its client is told, and the engine's slot is freed."""
        if not services.fleet.cancel(request_id):
            raise NotFound(f"No request {request_id} waits or runs.", hint="`hostler requests` shows those that do.")
        return Cancelled(request=request_id)
