"""Takes the requests that are neither an API's nor management."""

from __future__ import annotations

from hostler.accounts.keys import Principal
from hostler.gateway.asgi import Message, Receive, Send, headers_of
from hostler.gateway.extras.looking import Looking
from hostler.gateway.extras.parts import ExtrasParts
from hostler.gateway.extras.passing import PREFIX, Passing
from hostler.gateway.guard import SAFE_METHODS, check_origin


class Extras:
    """Answers whatever :data:`hostler.gateway.front.ROUTES` says is its own."""

    def __init__(self, parts: ExtrasParts) -> None:
        self._origins = parts.origins
        self._looking = Looking(parts)
        self._passing = Passing(parts)

    async def answer(self, principal: Principal, scope: Message, receive: Receive, send: Send) -> None:
        """Raises what becomes an error's answer; nothing was sent then."""
        passed = str(scope["path"]).startswith(PREFIX)
        if passed or scope["method"] not in SAFE_METHODS:
            check_origin(dict(headers_of(scope)), self._origins())
        await (self._passing if passed else self._looking).answer(principal, scope, receive, send)
