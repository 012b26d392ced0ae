"""The front door: one route table says the owner, the methods and the key's scope of every path.

Inference never comes here (see :mod:`hostler.gateway.door.downstream`); the table still lists it, for wrong
methods and for whoever asks what there is. Management is built in the background: its requests wait for it,
`/health` does not.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from difflib import get_close_matches
from typing import Final, Literal

import anyio
import msgspec

from hostler.accounts.keys import LOCAL, Principal, Scope
from hostler.errors import Forbidden, HostlerError, MethodNotAllowed, NotFound, Unauthorized
from hostler.gateway.answering.discreet import plain_body, plain_error
from hostler.gateway.door.asgi import ClientGone
from hostler.gateway.door.asgi import body_of as read_body
from hostler.gateway.door.guard import Door, check_host, check_origin
from hostler.gateway.errors import Family, body_of, headers_of, status_of
from hostler.gateway.extras.desk import Extras
from hostler.gateway.extras.passing import PREFIX
from hostler.gateway.metrics.families import CONTENT_TYPE
from hostler.gateway.ollama.api import OllamaModels
from hostler.gateway.ollama.paths import OLLAMA, OLLAMA_FOLDERS
from hostler.gateway.openai import Models
from hostler.gateway.routes import INFERENCE
from hostler.gateway.web.page import Page, wants_page
from hostler.wire.management import ReadyReport

Message = MutableMapping[str, object]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Message, Receive, Send], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

Owner = Literal["home", "health", "ready", "metrics", "models", "inference", "ollama", "management", "extras"]

_JSON: Final = (b"content-type", b"application/json")
_TEXT: Final = (b"content-type", b"text/plain; charset=utf-8")
_OLLAMA: Final = b"Ollama is running"
#: A body on our own paths is a few fields.
LARGEST_BODY: Final = 2**20


class Place(msgspec.Struct, frozen=True):
    """A path's owner, its methods, and the scope that it needs; None is open to everybody."""

    owner: Owner
    methods: tuple[str, ...]
    scope: Scope | None
    family: Family = "problem"


#: Exact paths; `/v1/models/{id}` and everything under `/api/` are found by prefix.
ROUTES: Final[dict[str, Place]] = {
    "/": Place("home", ("GET", "HEAD"), None),
    "/health": Place("health", ("GET", "HEAD"), None),
    "/ready": Place("ready", ("GET", "HEAD"), None),
    "/metrics": Place("metrics", ("GET", "HEAD"), "admin"),
    "/props": Place("extras", ("GET", "HEAD"), "inference", "openai"),
    "/slots": Place("extras", ("GET", "HEAD"), "inference", "openai"),
    "/lora-adapters": Place("extras", ("GET", "HEAD", "POST"), "inference", "openai"),
    "/v1/models": Place("models", ("GET", "HEAD"), "inference", "openai"),
    "/models": Place("models", ("GET", "HEAD"), "inference", "openai"),
    **{path.decode(): Place("inference", ("POST",), "inference", route.family) for path, route in INFERENCE.items()},
    **{path: Place("ollama", one.methods, one.scope, "ollama") for path, one in OLLAMA.items()},
}
_FOLDERS: Final = {path: Place("ollama", one.methods, one.scope, "ollama") for path, one in OLLAMA_FOLDERS.items()}
_ONE_MODEL: Final = Place("models", ("GET", "HEAD"), "inference", "openai")
#: What is there on a port for Ollama's clients.
_FOR_CLIENTS: Final = ("home", "health", "ready", "models", "inference", "ollama")
_MANAGEMENT: Final = Place("management", (), "admin")
_UPSTREAM: Final = Place("extras", (), "admin", "openai")
_DESCRIPTION: Final = Place("management", (), None)


#: What management paths take, as a preflight is told.
MANAGED: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")


class LateApp:
    """The management app, which arrives later than the first request."""

    def __init__(self) -> None:
        self._app: ASGIApp | None = None
        self._failure: HostlerError | None = None
        self._settled = anyio.Event()

    def set(self, app: ASGIApp) -> None:
        """The app is there; waiting requests go on."""
        self._app = app
        self._settled.set()

    def fail(self, error: HostlerError) -> None:
        """The app will never be there; waiting requests get ``error``."""
        self._failure = error
        self._settled.set()

    async def get(self) -> ASGIApp:
        """The app, when it is there; raises why it never will be."""
        await self._settled.wait()
        if self._failure is not None:
            raise self._failure
        assert self._app is not None
        return self._app


class FrontParts(msgspec.Struct, frozen=True, kw_only=True):
    """What :class:`Front` is built with. ``web`` gives the page; ``ready`` and ``metrics`` must not block.
    ``ollama_port`` is a port that is there for Ollama's clients: management is not reached through it."""

    door: Door
    models: Models
    ollama: OllamaModels
    management: LateApp
    web: Callable[[], Page]
    ready: Callable[[], ReadyReport]
    metrics: Callable[[], bytes]
    extras: Extras
    ollama_port: int | None = None


class Front:
    """The ASGI app."""

    def __init__(self, parts: FrontParts) -> None:
        self._parts = parts

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        path = str(scope["path"])
        place = _place(path)
        if place is not None and place.owner not in _FOR_CLIENTS and _port(scope) == self._parts.ollama_port:
            place = None
        origins = self._parts.door.origins
        if origins and scope["type"] == "http":
            named = place is None or place.owner == "management" or place.scope == "admin"
            headers = dict(_headers(scope))
            methods = MANAGED if place is None or not place.methods else place.methods
            if scope["method"] == "OPTIONS" and (lines := origins.preflight(headers, methods, named=named)) is not None:
                await _send(send, 204, lines, b"")
                return
            send = _adding(send, origins.lines(headers, named=named))
        try:
            if place is None:
                raise _no_such(path)
            principal = self._check_key(scope, place)
            if place.owner == "management":
                app = await self._parts.management.get()
                await app(scope, receive, send)
                return
            if scope["type"] != "http":
                raise NotFound(f"{path} is not a WebSocket.")
            if place.owner == "extras" and (not place.methods or scope["method"] in place.methods):
                await self._parts.extras.answer(principal, scope, receive, send)
                return
            await self._own(place, principal, scope, receive, send)
        except ClientGone:
            return
        except HostlerError as error:
            await _refuse(scope, receive, send, _told(scope, error), self._family(scope, place))

    def _check_key(self, scope: Message, place: Place) -> Principal:
        """Who asks; the local operator too where nobody has to say. Raises Unauthorized or Forbidden."""
        if place.scope is None:
            return LOCAL
        headers = dict(_headers(scope))
        principal = self._parts.door.admit(headers, _address(scope))
        if place.scope == "admin" and principal.scope != "admin":
            raise Forbidden(f"The key {principal.name!r} may use models, but not the management API.")
        if place.scope == "admin" and place.owner == "ollama":  # the others look for themselves
            check_origin(headers, self._parts.door.origins)
        state = scope.get("state")
        if isinstance(state, dict):
            state["principal"] = principal
        return principal

    async def _own(self, place: Place, principal: Principal, scope: Message, receive: Receive, send: Send) -> None:
        method, path = str(scope["method"]), str(scope["path"])
        if method == "OPTIONS":
            await _send(send, 204, [_allow(place)], b"")
            return
        if method not in place.methods:
            raise MethodNotAllowed(f"{path} takes {' and '.join(place.methods)}, not {method}.")
        if place.owner == "ollama":
            body = await read_body(receive, LARGEST_BODY)
            answer = await self._parts.ollama.seen_by(principal).answer(path, principal, body)
            await _send(send, 200, [(b"content-type", answer.kind)], answer.body)
            return
        status, headers, body = await self._answer(place, principal, scope)
        await _send(send, status, headers, body)

    async def _answer(self, place: Place, principal: Principal, scope: Message) -> tuple[int, Headers, bytes]:
        if place.owner == "home":
            return self._home(scope)
        if place.owner == "health":
            return 200, [_JSON], b'{"status":"ok"}'
        if place.owner == "ready":
            report = self._parts.ready()
            if self._manages(scope):
                return 200 if report.ready else 503, [_JSON], msgspec.json.encode(report)
            nameless = msgspec.structs.replace(report, profiles={})
            return 200 if report.ready else 503, [_JSON], plain_body(msgspec.json.encode(nameless))
        if place.owner == "metrics":
            return 200, [(b"content-type", CONTENT_TYPE.encode())], self._parts.metrics()
        if place.owner != "models":
            raise _no_such(str(scope["path"]))
        name = str(scope["path"]).partition("/models")[2].removeprefix("/")
        models = self._parts.models.seen_by(principal)
        return 200, [_JSON], msgspec.json.encode(await models.one(name) if name else await models.listed())

    def _manages(self, scope: Message) -> bool:
        """Whether whoever asks may manage, on a path that is open to everybody."""
        headers = dict(_headers(scope))
        try:
            principal = self._parts.door.authenticate(headers)
            if principal is LOCAL:
                check_host(headers)
        except (Unauthorized, Forbidden):
            return False
        return principal.scope == "admin"

    def _family(self, scope: Message, place: Place | None) -> Family:
        """In whose words an error is told: where there is nothing, in those of whoever may have been meant."""
        if place is not None:
            return place.family
        if "/v1" in str(scope["path"]):
            return "openai"
        return "ollama" if _port(scope) == self._parts.ollama_port else "problem"

    def _home(self, scope: Message) -> tuple[int, Headers, bytes]:
        ours = _port(scope) != self._parts.ollama_port
        if ours and wants_page(dict(_headers(scope)).get(b"accept", b"")):
            page = self._parts.web()
            return 200, list(page.headers), page.body
        return 200, [_TEXT, (b"vary", b"accept")], _OLLAMA


def _place(path: str) -> Place | None:
    place = ROUTES.get(path)
    if place is not None:
        return place
    if path.startswith(("/api/docs", "/api/schema")):
        return _DESCRIPTION
    if (folder := next((folder for folder in _FOLDERS if path.startswith(folder)), None)) is not None:
        return _FOLDERS[folder]
    if path.startswith("/api/") or path == "/api":
        return _MANAGEMENT
    if path.startswith(("/v1/models/", "/models/")):
        return _ONE_MODEL
    if path.startswith(PREFIX):
        return _UPSTREAM
    return None


def _no_such(path: str) -> NotFound:
    near = get_close_matches(path, ROUTES, n=2, cutoff=0.7)
    hint = f"Did you mean {' or '.join(near)}?" if near else "The management API is described at /api/docs."
    return NotFound(f"There is nothing at {path}.", hint=hint)


def _headers(scope: Message) -> Headers:
    headers = scope["headers"]
    assert isinstance(headers, list)
    return headers


def _told(scope: Message, error: HostlerError) -> HostlerError:
    """``error`` as it is told to whoever asks."""
    state = scope.get("state")
    principal = state.get("principal") if isinstance(state, dict) else None
    return plain_error(error) if isinstance(principal, Principal) and principal.scope != "admin" else error


def _port(scope: Message) -> int:
    """The port that the request came in by."""
    server = scope.get("server")
    return int(server[1]) if isinstance(server, tuple) and server[1] is not None else 0


def _address(scope: Message) -> str:
    client = scope.get("client")
    return str(client[0]) if isinstance(client, tuple) else ""


def _allow(place: Place) -> tuple[bytes, bytes]:
    return b"allow", ", ".join((*place.methods, "OPTIONS")).encode()


def _adding(send: Send, lines: Headers) -> Send:
    """``send``, with further header lines in the answer's head."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            own = message.get("headers", ())
            message = {**message, "headers": [*own, *lines]}  # type: ignore[misc]
        await send(message)

    return sending


async def _send(send: Send, status: int, headers: Headers, body: bytes) -> None:
    if status != 204:
        headers = [*headers, (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _refuse(scope: Message, receive: Receive, send: Send, error: HostlerError, family: Family) -> None:
    """Tell an error; a WebSocket is refused before it opens."""
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 4000 + status_of(error), "reason": error.message[:100]})
        return
    headers = [_JSON, *headers_of(error)]
    place = _place(str(scope["path"]))
    if isinstance(error, MethodNotAllowed) and place is not None:
        headers.append(_allow(place))
    await _send(send, status_of(error), headers, body_of(error, family))
