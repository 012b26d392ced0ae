"""A key is lent for some profiles and some time; who may not manage cannot, and no other key is touched."""

from __future__ import annotations

import time

import httpx
import pytest
from admin_fakes import NAMES, World

from hostler.accounts.keys import Bounds

pytestmark = pytest.mark.anyio

WISH = {"name": "run-aider-1", "profiles": ["fast", "coder"], "lasts_s": 60}


@pytest.fixture
def admin(world: World) -> dict[str, str]:
    return {"x-api-key": world.keys.add("me")}


async def test_a_life_of_a_lent_key(client: httpx.AsyncClient, world: World, admin: dict[str, str]) -> None:
    made = (await client.post("/api/keys", json=WISH, headers=admin)).json()
    assert made["profiles"] == ["coder"]
    assert made["expires"] == pytest.approx(time.time() + 60, abs=30)
    lent = {"x-api-key": made["key"]}
    principal = world.keys.authenticate({b"x-api-key": made["key"].encode()})
    assert (principal.name, principal.scope, principal.profiles) == ("run-aider-1", "inference", ("coder",))
    for method, path in (("GET", "/api/gateway"), ("POST", "/api/keys"), ("DELETE", "/api/keys/run-aider-1")):
        assert (await client.request(method, path, json=WISH, headers=lent)).status_code == 403
    longer = await client.post("/api/keys/run-aider-1/prolong", json={"lasts_s": 3600}, headers=admin)
    assert longer.json()["expires"] > made["expires"]
    assert longer.json()["key"] is None
    assert (await client.post("/api/keys", json=WISH, headers=admin)).status_code == 409
    assert (await client.delete("/api/keys/run-aider-1", headers=admin)).status_code == 200
    assert (await client.delete("/api/keys/run-aider-1", headers=admin)).status_code == 404
    assert world.keys.names == ("me",)


async def test_it_says_when_it_ends_with_the_key_that_lends_it(client: httpx.AsyncClient, world: World) -> None:
    ends = time.time() + 600
    admin = {"x-api-key": world.keys.add("me", bounds=Bounds(expires=ends))}
    made = (await client.post("/api/keys", json=WISH | {"lasts_s": 3600}, headers=admin)).json()
    longer = (await client.post("/api/keys/run-aider-1/prolong", json={"lasts_s": 7200}, headers=admin)).json()
    assert (made["expires"], longer["expires"], world.keys.stored[-1].expires) == (ends, ends, ends)


async def test_where_nobody_needs_a_key_none_is_made(client: httpx.AsyncClient, world: World) -> None:
    assert (await client.post("/api/keys", json=WISH)).json()["key"] is None
    assert world.keys.empty


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({"profiles": ["nobody"]}, 404),
        ({"profiles": []}, 400),
        ({"profiles": ["*"]}, 404),
        ({"lasts_s": 0}, 400),
        ({"lasts_s": 86_401}, 400),
        ({"lasts_s": "1h"}, 400),
        ({"name": "../me"}, 400),
        ({"name": "a b"}, 400),
        ({"name": "local"}, 400),
        ({"name": "me"}, 409),
        ({"scope": "admin"}, 400),
    ],
)
async def test_what_cannot_be_lent(
    client: httpx.AsyncClient, world: World, admin: dict[str, str], changed: dict[str, object], status: int
) -> None:
    assert (await client.post("/api/keys", json=WISH | changed, headers=admin)).status_code == status
    assert world.keys.names == ("me",)


async def test_keys_that_are_kept_are_not_taken_back(
    client: httpx.AsyncClient, world: World, admin: dict[str, str]
) -> None:
    assert (await client.delete("/api/keys/me", headers=admin)).status_code == 404
    assert (await client.post("/api/keys/me/prolong", json={"lasts_s": 1}, headers=admin)).status_code == 404
    assert world.keys.names == ("me",)


async def test_a_name_is_no_pattern(client: httpx.AsyncClient, world: World, admin: dict[str, str]) -> None:
    made = (await client.post("/api/keys", json=WISH | {"profiles": [NAMES[1]]}, headers=admin)).json()
    principal = world.keys.authenticate({b"x-api-key": made["key"].encode()})
    assert [name for name in NAMES if principal.may_use(name)] == [NAMES[1]]
