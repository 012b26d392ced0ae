"""The OpenAPI document: what Litestar derives from the routes, plus what it cannot know."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import msgspec
from litestar import Request
from litestar.datastructures import State
from litestar.enums import MediaType
from litestar.openapi.plugins import JsonRenderPlugin

from hostler.events import AnyEvent
from hostler.gateway.admin.examples import EXAMPLES

Json = dict[str, "Json"] | list["Json"] | str | int | float | bool | None
Object = dict[str, Json]

REFERENCE = "#/components/schemas/{name}"


class Document(JsonRenderPlugin):
    """Serves the document; where, the OpenAPI configuration says."""

    def __init__(self) -> None:
        super().__init__(path=["/", "/openapi.json"], media_type=MediaType.JSON)

    def render(self, request: Request[None, None, State], openapi_schema: Object) -> bytes:
        """The document as JSON."""
        event, components = _event_schemas()
        _at(openapi_schema, "components", "schemas").update(components)
        _publish_events(openapi_schema, event)
        _publish_csv(openapi_schema)
        for operation in _operations(openapi_schema):
            _correct(openapi_schema, operation)
        _publish_examples(openapi_schema)
        return msgspec.json.encode(openapi_schema)


def events() -> bytes:
    """The JSON Schema of one event of the streams."""
    return msgspec.json.encode(msgspec.json.schema(AnyEvent))


def _event_schemas() -> tuple[Object, Object]:
    (event,), components = msgspec.json.schema_components([AnyEvent], ref_template=REFERENCE)
    return cast(Object, event), cast(Object, components)


def _publish_events(made: Object, event: Object) -> None:
    """An SSE body has no schema of its own: say what its data lines hold."""
    _at(made, "components", "schemas")["Event"] = event
    answers = _at(made, "paths", "/api/events", "get", "responses", "200", "content")
    answers["text/event-stream"] = {
        "schema": {
            "type": "string",
            "description": "Each `data:` line is one JSON `Event`; `id:` and `event:` repeat its id and type.",
            "contentMediaType": "application/json",
            "contentSchema": {"$ref": REFERENCE.format(name="Event")},
        }
    }


def _publish_csv(made: Object) -> None:
    answers = _at(made, "paths", "/api/usage/requests", "get", "responses", "200", "content")
    answers["text/csv"] = {"schema": {"type": "string", "description": "With a head, if `format` is `csv`."}}


def _operations(made: Object) -> Iterator[Object]:
    for item in _at(made, "paths").values():
        yield from cast(Object, item).values()  # type: ignore[misc]


def _correct(made: Object, operation: Object) -> None:
    """Say what Litestar does not: a body that may be null may be left out, and none has keys that are not named."""
    body = cast(Object, operation.get("requestBody", {}))
    if body:
        schema = _at(body, "content", "application/json", "schema")
        kinds = cast(list[Object], schema.get("oneOf") or schema["allOf"])
        body["required"] = {"type": "null"} not in kinds
        for reference in (str(each["$ref"]) for each in kinds if "$ref" in each):
            _at(made, "components", "schemas", reference.rpartition("/")[2])["additionalProperties"] = False


def _publish_examples(made: Object) -> None:
    for (method, path), example in EXAMPLES.items():
        content = _at(made, "paths", path, method, "responses", "200", "content", "application/json")
        content["example"] = cast(Json, msgspec.to_builtins(example))


def _at(made: Object, *keys: str) -> Object:
    """The object at a path; a KeyError means that a route was renamed without its description."""
    for key in keys:
        made = cast(Object, made[key])
    return made
