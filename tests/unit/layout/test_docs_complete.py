"""Everything that a user can set, run, call or meet stands in the docs; and nothing that does not exist."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from types import SimpleNamespace
from typing import cast

import httpx
import pytest
from documents import code_in, rows, section, text

from hostler import errors
from hostler.cli.reference import commands
from hostler.config.reference import _default as written_default
from hostler.config.settings import Config, LimitSettings, Profile
from hostler.config.shape import Leaf, Map, Table, root, table
from hostler.events import AnyEvent
from hostler.gateway.admin.app import build
from hostler.gateway.admin.services import Services
from hostler.gateway.asking import exceeded
from hostler.gateway.door.front import ROUTES
from hostler.gateway.errors import status_of
from hostler.gateway.routes import INFERENCE

API = "docs/api.md"


def keys(section: Table, path: str = "") -> Iterator[str]:
    """Every key that holds a value, dotted; a profile's name is written NAME."""
    for name, field in section.fields.items():
        inner = field.shape.item if isinstance(field.shape, Map) else field.shape
        if isinstance(inner, Leaf):
            yield f"{path}{name}"
        else:
            yield from keys(inner, f"{path}{name}." + ("NAME." if isinstance(field.shape, Map) else ""))


def test_every_setting_has_a_heading() -> None:
    headings = set(re.findall(r"^### `([^`]+)`$", text("docs/reference/configuration.md"), re.MULTILINE))
    assert headings == set(keys(root()))
    assert {field for field in Config.__struct_fields__ if field != "profiles"} <= {
        key.split(".")[0] for key in headings
    }
    assert {f"profiles.NAME.{field}" for field in Profile.__struct_fields__} <= headings | {
        "profiles.NAME.sampling",
        "profiles.NAME.presets",
        "profiles.NAME.request",
        "profiles.NAME.workload",
        "profiles.NAME.engine",
    }


def test_every_command_has_a_heading() -> None:
    headings = set(re.findall(r"^## `([^`]+)`$", text("docs/reference/cli.md"), re.MULTILINE))
    assert headings == {name for name, _ in commands()}


def test_the_table_of_limits_is_the_settings() -> None:
    shown = {code_in(row[0])[0]: code_in(row[1])[0] for row in rows(text("docs/limits.md"))}
    assert shown == {name: written_default(field).strip("`") for name, field in table(LimitSettings).fields.items()}


def tree(kind: type[errors.HostlerError] = errors.HostlerError) -> Iterator[type[errors.HostlerError]]:
    yield kind
    for below in kind.__subclasses__():
        if below.__module__ in (errors.__name__, exceeded.__name__):
            yield from tree(below)


def test_every_error_has_its_code_and_status_in_the_table() -> None:
    shown = {code_in(row[0])[0]: int(row[1]) for row in rows(section(API, "## Errors"))}
    assert shown == {kind.code: status_of(kind("x")) for kind in tree()}


def test_troubleshooting_names_codes_that_exist() -> None:
    named = set(re.findall(r"\(`([a-z]+_[a-z_]+)`\)", text("docs/troubleshooting.md")))
    assert len(named) > 10
    assert named <= {kind.code for kind in tree()}


def test_every_event_has_a_row() -> None:
    shown = [code_in(row[0])[0] for row in rows(section(API, "## Events"))]
    assert shown == [str(kind.__struct_config__.tag) for kind in AnyEvent.__args__]


def endpoints(heading: str) -> set[str]:
    """``POST /path`` for everything that the tables of a section name."""
    named = (each for row in rows(section(API, heading)) for each in code_in(row[0]))
    return {each for each in named if re.match(r"[A-Z]+ /", each)}


def test_every_inference_path_has_a_row() -> None:
    shown = endpoints("## Inference")
    bare = set(code_in(section(API, "## Inference").partition("Clients whose base address")[2].partition("\n\n")[0]))
    posted = {each.removeprefix("POST ") for each in shown if each.startswith("POST ")}
    assert posted | (bare - {"/v1", "/models"}) == {path.decode() for path in INFERENCE}
    assert {"GET /v1/models", "GET /v1/models/{id}"} <= shown
    assert "/models" in bare


def test_every_path_of_the_front_door_is_described() -> None:
    own = {path for path, place in ROUTES.items() if place.owner in ("home", "health", "ready", "metrics")}
    assert {f"GET {path}" for path in own} == endpoints("## Health")


@pytest.mark.anyio
async def test_every_management_endpoint_has_a_row() -> None:
    app = build(cast(Services, SimpleNamespace()))
    transport = httpx.ASGITransport(app=app)  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        paths = (await client.get("/api/schema")).json()["paths"]
    real = {f"{method.upper()} {path}" for path, item in paths.items() for method in item}
    assert endpoints("## Management") == real


def test_every_dependency_has_its_reason() -> None:
    page = "docs/developer/dependencies.md"
    wanted = tomllib.loads(text("pyproject.toml"))["project"]["dependencies"]
    names = {re.split(r"[<>=; \[]", each, maxsplit=1)[0] for each in wanted}
    assert {code_in(row[0])[0] for row in rows(section(page, "## At run time"))} == names
    listed = [line for line in text("requirements/dev.in").splitlines() if line and not line.startswith(("#", "-"))]
    shown = {name for row in rows(section(page, "## For tests and checks")) for name in code_in(row[0])}
    assert shown == set(listed)
