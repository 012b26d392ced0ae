"""The API about itself: the event types, and a page to browse them that loads nothing from elsewhere."""

from __future__ import annotations

from importlib.resources import files
from zlib import crc32

from litestar import Controller, Request, Response, get
from litestar.datastructures import State
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
    async def docs(self, request: Request[None, None, State]) -> Response[bytes]:
        """The page."""
        return _asset(request, "docs.html")

    @get("/docs/{name:str}")
    async def asset(self, request: Request[None, None, State], name: FromPath[str]) -> Response[bytes]:
        """A file of the page."""
        return _asset(request, name)


def _asset(request: Request[None, None, State], name: str) -> Response[bytes]:
    """The file; nothing for a browser that has it already."""
    if name not in ASSETS:
        raise NotFound(f"There is no file {name}.", hint="The page is /api/docs.")
    body = (files("hostler.gateway.admin") / "assets" / name).read_bytes()
    etag = f'"{crc32(body):08x}"'
    headers = {"content-security-policy": POLICY, "cache-control": "no-cache", "etag": etag}
    if request.headers.get("if-none-match") == etag:
        return Response(b"", status_code=304, headers=headers)
    return Response(body, media_type=f"{ASSETS[name]}; charset=utf-8", headers=headers)
