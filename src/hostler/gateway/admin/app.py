"""The management API as one ASGI application. Importing this imports Litestar: do so behind the listener."""

from __future__ import annotations

from litestar import Litestar
from litestar.di import Provide
from litestar.enums import ScopeType
from litestar.openapi import OpenAPIConfig
from litestar.openapi.spec import Components, License, SecurityScheme, Tag
from litestar.plugins import PluginProtocol
from litestar.plugins.core import MsgspecDIPlugin
from litestar.types import ASGIApp, Receive, Scope, Send

import hostler
from hostler.accounts.keys import LOCAL, Principal
from hostler.errors import Forbidden, HostlerError
from hostler.gateway import guard
from hostler.gateway.admin import problems
from hostler.gateway.admin.document import Document
from hostler.gateway.admin.noting import noted
from hostler.gateway.admin.paths import routed
from hostler.gateway.admin.routes.auditing import AuditRoutes
from hostler.gateway.admin.routes.caching import CacheRoutes
from hostler.gateway.admin.routes.docs import DocsRoutes
from hostler.gateway.admin.routes.gateway import GatewayRoutes
from hostler.gateway.admin.routes.hardware import HardwareRoutes
from hostler.gateway.admin.routes.holds import HoldRoutes
from hostler.gateway.admin.routes.loading import LoadModeRoutes
from hostler.gateway.admin.routes.profiles import ProfileRoutes
from hostler.gateway.admin.routes.running import InstanceRoutes, RequestRoutes
from hostler.gateway.admin.routes.streams import StreamRoutes
from hostler.gateway.admin.routes.usage import UsageRoutes
from hostler.gateway.admin.routes.warming import WarmRoutes
from hostler.gateway.admin.services import Services
from hostler.gateway.errors import body_of, headers_of, status_of

BODY_LIMIT = 64 * 1024
POLICY_VIOLATION = 1008
# The same for every gateway, and a browser cannot send a key when it opens a page.
PUBLIC = ("/api/docs", "/api/schema")


def build(services: Services) -> ASGIApp:
    """The application for `/api/...`: checks who asks, then lets Litestar answer."""
    return Management(services, _litestar(services))


class Management:
    """The door: key, origin and Host are checked, and profile names made one path segment."""

    def __init__(self, services: Services, inner: ASGIApp) -> None:
        self._services = services
        self._inner = inner

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":  # type: ignore[comparison-overlap]
            await self._inner(scope, receive, send)
            return
        try:
            principal = self._admit(scope)
        except HostlerError as error:
            await _refuse(scope, send, error)
            return
        changes = scope["type"] == ScopeType.HTTP and scope["method"] not in guard.SAFE_METHODS
        audit = self._services.audit if changes else None
        if audit is None:
            await self._routed(scope, receive, send)
        else:
            await noted(audit, principal.name, self._routed, scope, receive, send)

    async def _routed(self, scope: Scope, receive: Receive, send: Send) -> None:
        method = scope.get("method", "GET")
        await self._inner({**scope, "path": routed(str(method), scope["path"])}, receive, send)  # type: ignore[arg-type]

    def _admit(self, scope: Scope) -> Principal:
        """Who asks. Raises Unauthorized or Forbidden for whoever may not manage."""
        headers = dict(scope["headers"])
        if scope["path"].startswith(PUBLIC):
            return LOCAL
        principal = self._services.authenticate(headers)
        if principal.scope != "admin":
            raise Forbidden(f"The key {principal.name!r} may only use models.")
        if principal == LOCAL:
            guard.check_host(headers)
        if scope.get("method") not in guard.SAFE_METHODS:
            guard.check_origin(headers, self._services.origins)
        return principal


async def _refuse(scope: Scope, send: Send, error: HostlerError) -> None:
    if scope["type"] == ScopeType.WEBSOCKET:
        await send({"type": "websocket.close", "code": POLICY_VIOLATION, "reason": error.message[:120]})
        return
    headers = [(b"content-type", b"application/json"), *headers_of(error)]
    await send({"type": "http.response.start", "status": status_of(error), "headers": headers})
    await send({"type": "http.response.body", "body": body_of(error, "problem"), "more_body": False})


class _Lean(Litestar):
    """Litestar without the plugins that it adds for whatever else is installed: Pydantic alone is 12 MB."""

    @staticmethod
    def _get_default_plugins(plugins: list[PluginProtocol]) -> list[PluginProtocol]:
        return [*plugins, MsgspecDIPlugin()]


def _litestar(services: Services) -> Litestar:
    return _Lean(
        route_handlers=[
            GatewayRoutes,
            AuditRoutes,
            ProfileRoutes,
            HoldRoutes,
            InstanceRoutes,
            RequestRoutes,
            UsageRoutes,
            HardwareRoutes,
            CacheRoutes,
            WarmRoutes,
            LoadModeRoutes,
            StreamRoutes,
            DocsRoutes,
        ],
        dependencies={"services": Provide(lambda: services, sync_to_thread=False)},
        exception_handlers=problems.HANDLERS,
        openapi_config=_openapi(),
        logging_config=None,
        request_max_body_size=BODY_LIMIT,
        debug=False,
    )


def _openapi() -> OpenAPIConfig:
    return OpenAPIConfig(
        title="Hostler",
        version=hostler.__version__,
        description=(
            "Manage the models of this machine. Sizes are bytes, durations seconds (`_s`) or milliseconds (`_ms`), "
            "times seconds since the Unix epoch. Errors say what happened, what to do next and who speaks: the "
            "gateway or the engine."
        ),
        license=License(name="Apache-2.0", identifier="Apache-2.0"),
        tags=[
            Tag(name="Profiles", description="What can be asked for, and bringing it in and out of memory."),
            Tag(name="Instances", description="The engine processes that run."),
            Tag(name="Saved prompts", description="What engines computed, kept for when their model comes back."),
            Tag(name="Requests", description="What is in flight and what the ledger keeps."),
            Tag(name="Hardware", description="The devices of this machine, and how they are doing."),
            Tag(name="Events and logs", description="What happens, as it happens."),
            Tag(name="Gateway", description="The gateway itself and its configuration."),
        ],
        path="/api/schema",
        components=Components(
            security_schemes={
                "key": SecurityScheme(
                    type="http", scheme="bearer", description="Needed once the gateway has keys; `x-api-key` works too."
                )
            }
        ),
        security=[{"key": []}, {}],
        render_plugins=[Document()],
        use_handler_docstrings=True,
        create_examples=False,
    )
