"""The management API as one ASGI application. Importing this imports Litestar: do so behind the listener."""

from __future__ import annotations

from litestar import Litestar
from litestar.di import Provide
from litestar.openapi import OpenAPIConfig
from litestar.openapi.spec import Components, License, SecurityScheme, Tag
from litestar.plugins import PluginProtocol
from litestar.plugins.core import MsgspecDIPlugin
from litestar.types import ASGIApp

import hostler
from hostler.gateway.admin import problems
from hostler.gateway.admin.document import Document
from hostler.gateway.admin.door import Management
from hostler.gateway.admin.known import Known
from hostler.gateway.admin.routes.auditing import AuditRoutes
from hostler.gateway.admin.routes.caching import CacheRoutes
from hostler.gateway.admin.routes.docs import DocsRoutes
from hostler.gateway.admin.routes.gateway import GatewayRoutes
from hostler.gateway.admin.routes.hardware import HardwareRoutes
from hostler.gateway.admin.routes.holds import HoldRoutes
from hostler.gateway.admin.routes.keys import KeyRoutes
from hostler.gateway.admin.routes.loading import LoadModeRoutes
from hostler.gateway.admin.routes.profiles import ProfileRoutes
from hostler.gateway.admin.routes.running import InstanceRoutes, RequestRoutes
from hostler.gateway.admin.routes.streams import StreamRoutes
from hostler.gateway.admin.routes.usage import UsageRoutes
from hostler.gateway.admin.routes.warming import WarmRoutes
from hostler.gateway.admin.services import Services


def build(services: Services) -> ASGIApp:
    """The application for `/api/...`: checks who asks, then lets Litestar answer."""
    inner = _litestar(services)
    # What is below the document Litestar answers with a page of its own.
    routes = [(each.path_format, each.methods) for each in inner.routes if each.path_format != "/api/schema/{path}"]
    return Management(services, inner, Known((path, methods) for path, methods in routes if methods))


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
            KeyRoutes,
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
        request_max_body_size=problems.BODY_LIMIT,
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
