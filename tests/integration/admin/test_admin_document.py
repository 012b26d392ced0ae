"""The OpenAPI document: complete, truthful, browsable without the network, and fuzzed."""

from __future__ import annotations

import re

import httpx
import msgspec
import pytest
import schemathesis
from admin_fakes import World
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import status_code_conformance

from hostler.events import AnyEvent, InstanceChanged, Swap
from hostler.gateway.admin import streams

pytestmark = pytest.mark.anyio

Json = dict[str, "Json"] | list["Json"] | str | int | float | bool | None
NAMES = "/api/schema", "/api/schema/openapi.json"


@pytest.fixture
async def document(client: httpx.AsyncClient) -> dict[str, dict[str, dict[str, dict[str, Json]]]]:
    answers = [await client.get(path) for path in NAMES]
    assert answers[0].content == answers[1].content
    made: dict[str, dict[str, dict[str, dict[str, Json]]]] = answers[0].json()
    return made


async def test_every_route_is_described(document: dict[str, dict[str, dict[str, dict[str, object]]]]) -> None:
    for path, item in document["paths"].items():
        for method, operation in item.items():
            where = f"{method} {path}"
            assert operation["summary"], where
            assert operation["description"], where
            assert operation["tags"], where
            responses = operation["responses"]
            assert isinstance(responses, dict)
            assert {"200", "401", "403"} <= set(responses), where
            for status, response in responses.items():
                if status != "200":
                    schema = response["content"]["application/json"]["schema"]
                    assert schema["$ref"].endswith("ProblemBody"), f"{where} {status}"


async def test_paths_are_all_there(document: dict[str, dict[str, object]]) -> None:
    assert sorted(document["paths"]) == [
        "/api/audit",
        "/api/config",
        "/api/events",
        "/api/gateway",
        "/api/gateway/reload",
        "/api/hardware",
        "/api/hardware/gpu/metrics",
        "/api/instances",
        "/api/instances/{instance_id}",
        "/api/keys",
        "/api/keys/{name}",
        "/api/keys/{name}/prolong",
        "/api/load",
        "/api/load/{hold_id}",
        "/api/logs",
        "/api/models/cache/clear",
        "/api/models/cache/settings",
        "/api/models/cache/status",
        "/api/models/mmap/benchmark",
        "/api/models/mmap/status",
        "/api/models/warmup/status",
        "/api/models/warmup/{name}",
        "/api/models/warmup/{name}/benchmark",
        "/api/profiles",
        "/api/profiles/{name}",
        "/api/profiles/{name}/load",
        "/api/profiles/{name}/pin",
        "/api/profiles/{name}/plan",
        "/api/profiles/{name}/switch",
        "/api/profiles/{name}/unload",
        "/api/requests",
        "/api/requests/{request_id}/cancel",
        "/api/usage",
        "/api/usage/requests",
    ]


async def test_the_event_union_is_published(
    client: httpx.AsyncClient, document: dict[str, dict[str, dict[str, dict[str, Json]]]]
) -> None:
    union = document["components"]["schemas"]["Event"]
    mapping = union["discriminator"]
    assert isinstance(mapping, dict)
    tags = mapping["mapping"]
    assert isinstance(tags, dict)
    assert sorted(tags) == list(streams.TYPES)
    alone = (await client.get("/api/events/schema")).json()
    assert sorted(alone["discriminator"]["mapping"]) == list(streams.TYPES)


def test_every_event_has_its_frame() -> None:
    event: AnyEvent = Swap(id=7, profile="a", evicted=("b",), reason="room")
    assert streams.frame(event).startswith(b'id: 7\nevent: fleet.swap\ndata: {"type":"fleet.swap","id":7')
    assert msgspec.json.decode(streams.message(event), type=AnyEvent) == event
    assert "instance.state" in streams.TYPES
    assert InstanceChanged.__struct_config__.tag == "instance.state"


async def test_the_docs_page_loads_nothing_from_elsewhere(client: httpx.AsyncClient) -> None:
    page = await client.get("/api/docs")
    assert page.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    links = re.findall(r'(?:src|href|spec-url)="([^"]+)"', page.text)
    assert links == ["data:,", "/api/docs/rapidoc-min.js", "/api/schema"]
    script = await client.get("/api/docs/rapidoc-min.js")
    assert script.headers["content-type"].startswith("text/javascript")
    assert (await client.get("/api/docs/../app.py")).status_code == 404
    assert (await client.get("/api/docs/other.js")).status_code == 404


def test_answers_are_what_the_document_says(world: World) -> None:
    """Requests made from our own document, valid and invalid ones, get only documented answers."""
    world.closing.set()  # followed logs and event streams end at once
    schema = schemathesis.openapi.from_asgi("/api/schema", world.app)
    operations = [result.ok() for result in schema.get_all_operations()]
    assert len(operations) == 35
    for operation in operations:
        can_be_wrong = len(operation.body) + len(operation.query)
        for mode in GenerationMode if can_be_wrong else (GenerationMode.POSITIVE,):

            @settings(max_examples=5, deadline=None, database=None, derandomize=True, suppress_health_check=HealthCheck)
            @given(case=operation.as_strategy(generation_mode=mode))
            def fuzz(case: schemathesis.Case) -> None:
                case.validate_response(case.call(), checks=[not_a_server_error, status_code_conformance])

            fuzz()
