"""Profiles: what can be asked for, and bringing it in and out of memory."""

from __future__ import annotations

from typing import Annotated

from litestar import Controller, delete, get, post
from litestar.openapi.spec import Example
from litestar.params import Body, PathParameter

from hostler.gateway.admin import views
from hostler.gateway.admin.paths import named
from hostler.gateway.admin.problems import fails
from hostler.gateway.admin.services import Services
from hostler.gateway.admin.wanted import Wanted
from hostler.wire.management import Pinned, ProfileInfo, Switched, SwitchOptions, UnloadOptions
from hostler.wire.plan import PlanReport

Name = Annotated[
    str,
    PathParameter(
        description="A profile's name or alias; `/` and `:` may stand in it as they are, or percent-encoded.",
        examples=[Example(summary="A profile", value="smollm2")],
    ),
]

_LOAD_FAILURES = (400, 404, 409, 499, 500, 502, 503, 504)


class ProfileRoutes(Controller):
    """`/api/profiles`."""

    path = "/api/profiles"
    tags = ("Profiles",)

    @get(summary="All profiles", responses=fails())
    async def profiles(self, services: Wanted) -> list[ProfileInfo]:
        """Profiles of the config in file order, then one for each model that was found; hidden ones too."""
        return await views.profiles(services.catalogue, services.fleet)

    @get("/{name:str}", summary="One profile", responses=fails(400, 404))
    async def profile(self, services: Wanted, name: Name) -> ProfileInfo:
        """The profile, its model, what it needs and the state of its instance."""
        return await views.profile(services.catalogue, services.fleet, named(name))

    @get("/{name:str}/plan", summary="How a profile would be loaded now", responses=fails(400, 404, 500, 503))
    async def plan(self, services: Wanted, name: Name) -> PlanReport:
        """Where every part would go, how many bytes that takes, how fast it would be, the engine's flags with their
        reasons, which residents would have to go, and what else could be done. Nothing is loaded."""
        return await services.plan(await views.resolved(services.catalogue, named(name)))

    @post("/{name:str}/load", status_code=200, summary="Load a profile", responses=fails(*_LOAD_FAILURES))
    async def load(self, services: Wanted, name: Name) -> Switched:
        """Answers when the profile is ready, or with why it cannot be. Others are unloaded only when the
        room is needed. A load that is already under way is joined; a failed profile is tried again."""
        profile = await views.resolved(services.catalogue, named(name))
        await services.fleet.load(profile)
        return Switched(profile=profile, state=services.fleet.profile(profile).state)

    @post("/{name:str}/unload", status_code=200, summary="Unload a profile", responses=fails(400, 404, 413, 503))
    async def unload(
        self,
        services: Wanted,
        name: Name,
        data: Annotated[UnloadOptions | None, Body(description="`now` cuts running requests off.")] = None,
    ) -> Switched:
        """Answers when the engine has ended. Running requests finish first, unless `now` is set."""
        profile = await views.resolved(services.catalogue, named(name))
        ended = await services.fleet.unload(profile, now=data.now if data else False)
        state = services.fleet.profile(profile).state
        return Switched(profile=profile, state=state, unloaded=(profile,) if ended else ())

    @post(
        "/{name:str}/switch",
        status_code=200,
        summary="Switch to a profile",
        responses=fails(*_LOAD_FAILURES, 413),
    )
    async def switch(
        self,
        services: Wanted,
        name: Name,
        data: Annotated[SwitchOptions | None, Body(description="`keep` leaves the others loaded.")] = None,
    ) -> Switched:
        """Load the profile, then drain and unload every other unpinned one, even if both would fit."""
        profile = await views.resolved(services.catalogue, named(name))
        unloaded = await services.fleet.switch(profile, keep=data.keep if data else False)
        return Switched(profile=profile, state=services.fleet.profile(profile).state, unloaded=unloaded)

    @post("/{name:str}/pin", status_code=200, summary="Pin a profile", responses=fails(400, 404))
    async def pin(self, services: Wanted, name: Name) -> Pinned:
        """From now on it never makes room for others and has no TTL. Loads nothing; the configuration stays as it is.
        Ends with the gateway, with an unload on request, or when the configuration says the same."""
        return await _pinned(services, named(name), pin=True)

    @delete("/{name:str}/pin", status_code=200, summary="Unpin a profile", responses=fails(400, 404))
    async def unpin(self, services: Wanted, name: Name) -> Pinned:
        """From now on it makes room like others, even if its configuration pins it."""
        return await _pinned(services, named(name), pin=False)


async def _pinned(services: Services, name: str, *, pin: bool) -> Pinned:
    profile = await views.resolved(services.catalogue, name)
    services.fleet.pin(profile, pin)
    return Pinned(profile=profile, state=services.fleet.profile(profile).state, pinned=pin)
