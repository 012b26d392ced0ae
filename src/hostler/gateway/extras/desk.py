"""Takes the requests that are neither an API's nor management."""

from __future__ import annotations

import msgspec

from hostler.accounts.keys import Principal
from hostler.gateway.door.asgi import Message, Receive, Send, headers_of
from hostler.gateway.door.cors import Origins
from hostler.gateway.door.guard import SAFE_METHODS, Headers, check_origin, is_foreign
from hostler.gateway.extras.looking import Looking
from hostler.gateway.extras.parts import ExtrasParts
from hostler.gateway.extras.passing import PREFIX, Passing


def _loads(scope: Message, headers: Headers, origins: Origins) -> bool:
    """Whether this has a model loaded at the word of a page that may not even use one; a picture's address can."""
    query = scope["query_string"]
    assert isinstance(query, bytes)
    return b"autoload" in query and not origins.allow(headers.get(b"origin", b""))


class Extras:
    """Answers whatever :data:`hostler.gateway.door.front.ROUTES` says is its own."""

    def __init__(self, parts: ExtrasParts) -> None:
        self._origins = parts.origins
        self._looking = Looking(parts)
        self._passing = Passing(parts)

    async def answer(self, principal: Principal, scope: Message, receive: Receive, send: Send) -> None:
        """Raises what becomes an error's answer; nothing was sent then."""
        passed = str(scope["path"]).startswith(PREFIX)
        headers, origins = dict(headers_of(scope)), self._origins()
        if passed or scope["method"] not in SAFE_METHODS or _loads(scope, headers, origins):
            check_origin(headers, origins)
        elif is_foreign(headers, origins):  # no page that is not named sees more than a key for models does
            principal = msgspec.structs.replace(principal, scope="inference")
        await (self._passing if passed else self._looking).answer(principal, scope, receive, send)
