"""Ways to load a model's files, compared on this machine."""

from __future__ import annotations

from typing import Annotated

from litestar import Controller, get, post
from litestar.params import Body, QueryParameter

from hostler.gateway.admin import views
from hostler.gateway.admin.problems import fails
from hostler.gateway.admin.wanted import Wanted
from hostler.wire.loading import CompareOptions, LoadComparison, LoadModeStatus

_FAILURES = (400, 404, 409, 413, 499, 500, 502, 503, 504)


class LoadModeRoutes(Controller):
    """`/api/models/mmap`."""

    path = "/api/models/mmap"
    tags = ("Profiles",)

    @get("/status", summary="Load modes", responses=fails())
    async def status(self, services: Wanted) -> LoadModeStatus:
        """What is used for which disk, build and size class, and the latest comparison of each profile."""
        return services.load_modes.status()

    @post("/benchmark", status_code=200, summary="Compare load modes", responses=fails(*_FAILURES))
    async def benchmark(
        self,
        services: Wanted,
        data: Annotated[CompareOptions, Body(description="Whose files are loaded.")],
        behind: Annotated[
            bool, QueryParameter(name="async", description="Answer at once; `status` tells how it went.")
        ] = False,
    ) -> LoadComparison:
        """Load the profile mapped, read and past the page cache, each with nothing of its files in the page cache and
        with all of them; the quickest mode is used from now on. Running requests finish first; it stays loaded."""
        profile = await views.resolved(services.catalogue, data.profile)
        return services.load_modes.begin(profile) if behind else await services.load_modes.compare(profile)
