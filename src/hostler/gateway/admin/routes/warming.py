"""Warming profiles before somebody waits for them."""

from __future__ import annotations

from typing import Annotated

from litestar import Controller, get, post
from litestar.params import QueryParameter

from hostler.gateway.admin import views
from hostler.gateway.admin.paths import named
from hostler.gateway.admin.problems import fails
from hostler.gateway.admin.routes.profiles import Name
from hostler.gateway.admin.wanted import Wanted
from hostler.wire.warming import WarmBenchmark, WarmUp

_FAILURES = (400, 404, 409, 499, 500, 502, 503, 504)


class WarmRoutes(Controller):
    """`/api/models/warmup`."""

    path = "/api/models/warmup"
    tags = ("Profiles",)

    @get("/status", summary="Warm-ups", responses=fails())
    async def status(self, services: Wanted) -> list[WarmUp]:
        """The latest warm-up of each profile since the gateway started, oldest first."""
        return list(services.warming.status())

    @post("/{name:str}", status_code=200, summary="Warm a profile", responses=fails(*_FAILURES))
    async def warm(
        self,
        services: Wanted,
        name: Name,
        behind: Annotated[
            bool, QueryParameter(name="async", description="Answer at once; `status` tells how it went.")
        ] = False,
    ) -> WarmUp:
        """Load it if it is not, and have it generate a few tokens. Answers when it has, or with why it cannot."""
        profile = await views.resolved(services.catalogue, named(name))
        return services.warming.begin(profile) if behind else await services.warming.warm(profile)

    @post(
        "/{name:str}/benchmark",
        status_code=200,
        summary="Compare a cold load with a warm one",
        responses=fails(*_FAILURES),
    )
    async def benchmark(self, services: Wanted, name: Name) -> WarmBenchmark:
        """Unload and load it twice, first with its files dropped from the page cache: load, a short answer, tokens a
        second. Running requests finish first; it stays loaded."""
        return await services.warming.benchmark(await views.resolved(services.catalogue, named(name)))
