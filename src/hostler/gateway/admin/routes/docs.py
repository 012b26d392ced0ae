"""The API about itself: the event types, and a page to browse them that loads nothing from elsewhere."""

from __future__ import annotations

from importlib.resources import files

from litestar import Controller, Response, get
from litestar.params import FromPath

from hostler.errors import NotFound
from hostler.gateway.admin import document

ASSETS = {"rapidoc-min.js": "text/javascript", "rapidoc-LICENSE.txt": "text/plain", "docs.html": "text/html"}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; connect-src 'self'; "
    "img-src 'self' data:; font-src 'self' data:; base-uri 'none'; frame-ancestors 'none'"
)


class DocsRoutes(Controller):
    """`/api/events/schema` and `/api/docs`."""

    path = "/api"
    include_in_schema = False

    @get("/events/schema")
    async def events(self) -> Response[bytes]:
        """The JSON Schema of an event."""
        return Response(document.events(), media_type="application/schema+json")

    @get("/docs")
    async def docs(self) -> Response[bytes]:
        """The page."""
        return _asset("docs.html")

    @get("/docs/{name:str}")
    async def asset(self, name: FromPath[str]) -> Response[bytes]:
        """A file of the page."""
        return _asset(name)


def _asset(name: str) -> Response[bytes]:
    if name not in ASSETS:
        raise NotFound(f"There is no file {name}.")
    body = (files("hostler.gateway.admin") / "assets" / name).read_bytes()
    headers = {"content-security-policy": POLICY, "x-content-type-options": "nosniff"}
    return Response(body, media_type=f"{ASSETS[name]}; charset=utf-8", headers=headers)
