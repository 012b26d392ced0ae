"""Keys that are lent: to a program that is to use some models, for as long as it runs."""

from __future__ import annotations

import time
from glob import escape
from math import inf
from typing import Annotated

import anyio
from litestar import Controller, Request, delete, post
from litestar.datastructures import State
from litestar.params import Body, PathParameter

from hostler.accounts.keys import Bounds
from hostler.fleet.protocol import Catalogue, Needs, Served, found
from hostler.gateway.admin.problems import fails
from hostler.gateway.admin.wanted import Wanted
from hostler.wire.keys import Lending, LentKey, Prolonging

KeyName = Annotated[str, PathParameter(description="The key, as `POST /api/keys` was told to call it.")]
Wish = Annotated[Lending, Body(description="What to call it, which profiles it may use, and for how long.")]
Longer = Annotated[Prolonging, Body(description="For how long from now.")]


class KeyRoutes(Controller):
    """`/api/keys`."""

    path = "/api/keys"
    tags = ("Gateway",)

    @post(status_code=200, summary="Lend a key", responses=fails(400, 404, 409, 413, 500))
    async def lend(self, services: Wanted, request: Request[None, None, State], data: Wish) -> LentKey:
        """For a program that is started now: it may use models, of those the profiles that are named, by whatever name,
        and nothing else, until the time is over. It ends with the key that lends it, and asks no more often. Where
        there are no keys nobody needs one, and `key` is null."""
        keys = services.keys
        if keys.empty:
            return LentKey(name=data.name)
        lender = services.authenticate(dict(request.scope["headers"]))
        profiles = [name for asked in data.profiles for name in await _meant(services.catalogue, asked)]
        expires = min(time.time() + data.lasts_s, lender.expires or inf)
        bounds = Bounds(profiles=tuple(map(escape, dict.fromkeys(profiles))), expires=expires)
        made = await anyio.to_thread.run_sync(keys.add, data.name, "inference", bounds, lender.name)
        return LentKey(name=data.name, profiles=bounds.profiles, expires=bounds.expires, key=made)

    @post("/{name:str}/prolong", status_code=200, summary="Prolong a lent key", responses=fails(400, 404, 413, 500))
    async def prolong(self, services: Wanted, name: KeyName, data: Longer) -> LentKey:
        """It ends that much later than now, or with the key that lent it; what it may do stays."""
        expires = await anyio.to_thread.run_sync(services.keys.prolong, name, time.time() + data.lasts_s)
        return LentKey(name=name, expires=expires)

    @delete("/{name:str}", status_code=200, summary="Take a lent key back", responses=fails(400, 404, 500))
    async def take_back(self, services: Wanted, name: KeyName) -> LentKey:
        """It is refused from now on; what it is being answered goes on. Keys that were not lent stay."""
        await anyio.to_thread.run_sync(services.keys.take_back, name)
        return LentKey(name=name)


async def _meant(catalogue: Catalogue, name: str) -> list[str]:
    """The profile of that name; all that an `auto` name may mean. Raises UnknownProfile."""
    served = await found(catalogue, name)
    if served.choose is None:
        return [served.name]
    seen: list[str] = []

    def look(one: Served) -> bool:
        seen.append(one.name)
        return True

    served.choose(Needs(suits=look))
    return seen
