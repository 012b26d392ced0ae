"""The door of the management API: who asks, whether there is such a path, and what every answer has in common."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

import anyio
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from hostler.accounts.keys import LOCAL, Principal
from hostler.errors import Forbidden, HostlerError, InvalidRequest, MethodNotAllowed
from hostler.gateway.admin.known import Known
from hostler.gateway.admin.noting import noted
from hostler.gateway.admin.paths import routed
from hostler.gateway.admin.services import Services
from hostler.gateway.door import guard
from hostler.gateway.errors import body_of, headers_of, status_of

POLICY_VIOLATION: Final = 1008
#: The same for every gateway, and a browser cannot send a key when it opens a page.
PUBLIC: Final = ("/api/docs", "/api/schema")
#: What is told is for whoever asked, and is what its type says.
COMMON: Final = {b"cache-control": b"no-store", b"x-content-type-options": b"nosniff"}

Header = tuple[bytes, bytes]


class Management:
    """Key, origin, Host, path and method are checked, and profile names made one path segment."""

    def __init__(self, services: Services, inner: ASGIApp, known: Known) -> None:
        self._services = services
        self._inner = inner
        self._known = known

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":  # type: ignore[comparison-overlap]
            await self._inner(scope, receive, send)
        elif scope["type"] == ScopeType.WEBSOCKET:
            await self._socket(scope, receive, send)
        else:
            await self._http(scope, receive, _with_common(send))

    async def _socket(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            self._admit(scope)
        except HostlerError as error:
            await send({"type": "websocket.close", "code": POLICY_VIOLATION, "reason": error.message[:120]})
        else:
            await self._inner(scope, receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        method = str(scope.get("method"))
        path = routed(method, scope["path"])
        try:
            principal = self._admit(scope)
            self._known.check(method, path, scope["path"])
            _check_encoding(scope)
        except HostlerError as error:
            await self._refuse(send, error, path)
            return
        inner = {**scope, "path": path}
        if method == "OPTIONS":
            await _send(send, 204, [(b"allow", self._allow(path))], b"")
        elif method == "HEAD":
            await _head_only(self._inner, {**inner, "method": "GET"}, receive, send)  # type: ignore[arg-type]
        elif method == "GET" or self._services.audit is None:
            await self._inner(inner, receive, send)  # type: ignore[arg-type]
        else:
            await noted(self._services.audit, principal.name, self._answer_at(path), scope, receive, send)

    def _answer_at(self, path: str) -> ASGIApp:
        async def answer(scope: Scope, receive: Receive, send: Send) -> None:
            await self._inner({**scope, "path": path}, receive, send)  # type: ignore[arg-type]

        return answer

    def _admit(self, scope: Scope) -> Principal:
        """Who asks. Raises Unauthorized or Forbidden for whoever may not manage."""
        headers = dict(scope["headers"])
        if any(scope["path"] == each or scope["path"].startswith(f"{each}/") for each in PUBLIC):
            return LOCAL
        principal = self._services.authenticate(headers)
        if principal.scope != "admin":
            raise Forbidden(f"The key {principal.name!r} may only use models.")
        if principal == LOCAL:
            guard.check_host(headers)
        if scope.get("method") not in guard.SAFE_METHODS:
            guard.check_origin(headers, self._services.origins)
        return principal

    async def _refuse(self, send: Send, error: HostlerError, path: str) -> None:
        headers = [(b"content-type", b"application/json"), *headers_of(error)]
        if isinstance(error, MethodNotAllowed):
            headers.append((b"allow", self._allow(path)))
        await _send(send, status_of(error), headers, body_of(error, "problem"))

    def _allow(self, path: str) -> bytes:
        return ", ".join(self._known.methods(path)).encode()


def _check_encoding(scope: Scope) -> None:
    """Raise InvalidRequest for a body that is compressed: it would read as broken JSON."""
    coding = dict(scope["headers"]).get(b"content-encoding", b"identity").decode("latin-1").lower()
    if coding != "identity":
        raise InvalidRequest(f"The body is encoded with {coding!r}.", hint="Send it without Content-Encoding.")


async def _head_only(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    """What a GET would be answered, without its body: that of a stream never ends."""
    async with anyio.create_task_group() as answering:

        async def telling(message: Message) -> None:
            if message["type"] == "http.response.start":
                await send(message)
                await send({"type": "http.response.body", "body": b"", "more_body": False})
                answering.cancel_scope.cancel()

        await app(scope, receive, telling)


def _with_common(send: Send) -> Callable[[Message], Awaitable[None]]:
    """``send``, with the lines that every answer has unless it says otherwise."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            own = list(message.get("headers", ()))
            said = {name.lower() for name, _ in own}
            message = {**message, "headers": [*own, *(line for line in COMMON.items() if line[0] not in said)]}
        await send(message)

    return sending


async def _send(send: Send, status: int, headers: list[Header], body: bytes) -> None:
    if status != 204:
        headers = [*headers, (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})
