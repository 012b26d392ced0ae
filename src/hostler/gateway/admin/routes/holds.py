"""Holds: a profile loaded for a task, which leaves when the task ends."""

from __future__ import annotations

from typing import Annotated, Final

from litestar import Controller, delete, post
from litestar.params import Body, PathParameter

from hostler.config.quantities import Seconds, exact_seconds
from hostler.errors import InvalidRequest
from hostler.gateway.admin import views
from hostler.gateway.admin.problems import fails
from hostler.gateway.admin.wanted import Wanted
from hostler.wire.management import HoldInfo, HoldOptions

#: Who holds for longer has forgotten to let go; a pin says that it is meant.
MOST: Final = Seconds(7 * 86400)

HoldId = Annotated[str, PathParameter(description="The hold, as `POST /api/load` named it.")]
Options = Annotated[HoldOptions, Body(description="The profile, and for how long.")]


class HoldRoutes(Controller):
    """`/api/load`."""

    path = "/api/load"
    tags = ("Profiles",)

    @post(
        status_code=200, summary="Load a profile for some time", responses=fails(400, 404, 409, 413, 499, 500, 502, 503)
    )
    async def load(self, services: Wanted, data: Options) -> HoldInfo:
        """Answers when the profile is ready. While it is held it neither makes room nor leaves when idle; what was
        loaded for the hold is unloaded with it. The longest hold is seven days. Without `hold` it is loaded and no
        more."""
        profile = await views.resolved(services.catalogue, data.profile)
        if data.hold is None:
            await services.fleet.load(profile)
            return HoldInfo(profile=profile, state=services.fleet.profile(profile).state)
        seconds = _duration(data.hold)
        hold = await services.fleet.hold(profile, seconds, data.id)
        return HoldInfo(profile=profile, state=services.fleet.profile(profile).state, id=hold, hold_s=seconds)

    @delete("/{hold_id:str}", status_code=200, summary="End a hold", responses=fails(400, 404))
    async def end(self, services: Wanted, hold_id: HoldId) -> HoldInfo:
        """Answers when what was loaded for it is gone; its running requests finish first."""
        profile = await services.fleet.end_hold(hold_id)
        return HoldInfo(profile=profile, state=services.fleet.profile(profile).state)


def _duration(told: str | float) -> float:
    try:
        seconds = float(Seconds.parse(told))
    except ValueError as error:
        raise InvalidRequest(f"`hold` is {told!r}.", hint='Send seconds, or text such as "30m".') from error
    if seconds <= 0:
        raise InvalidRequest("`hold` must be above 0.")
    if seconds > MOST:
        raise InvalidRequest(
            f"`hold` is {told!r}; {exact_seconds(MOST)} is the longest.",
            hint="Prolong it with its `id` before it is over, or pin the profile.",
        )
    return seconds
