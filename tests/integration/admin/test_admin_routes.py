"""The management routes: what they answer, and that every failure is a Problem with the right status."""

from __future__ import annotations

import asyncio

import anyio
import httpx
import msgspec
import pytest
from admin_fakes import World

from hostler.wire.management import (
    Cancelled,
    ConfigValue,
    GatewayStatus,
    HoldInfo,
    Instance,
    Pinned,
    ProblemBody,
    ProfileInfo,
    Reloaded,
    Requests,
    Switched,
)
from hostler.wire.plan import PlanReport

pytestmark = pytest.mark.anyio

FOUND = "hf.co/owner/Tiny-GGUF:Q4_K_M"
QUOTED = "hf.co%2Fowner%2FTiny-GGUF%3AQ4_K_M"


def problem(answer: httpx.Response, status: int) -> str:
    assert answer.status_code == status, answer.text
    return msgspec.json.decode(answer.content, type=ProblemBody).error.code


async def test_gateway_and_config(client: httpx.AsyncClient) -> None:
    status = msgspec.json.decode((await client.get("/api/gateway")).content, type=GatewayStatus)
    assert status.memory[0].device == "host"
    values = msgspec.json.decode((await client.get("/api/config")).content, type=list[ConfigValue])
    assert (values[0].key, values[0].value) == ("gateway.port", 4785)


async def test_reload_and_its_refusal(client: httpx.AsyncClient, world: World) -> None:
    answer = await client.post("/api/gateway/reload")
    assert answer.status_code == 200
    assert msgspec.json.decode(answer.content, type=Reloaded).added == ("new",)
    world.config_broken = True
    assert problem(await client.post("/api/gateway/reload"), 500) == "config_invalid"


async def test_profiles_show_state_default_and_problem(client: httpx.AsyncClient, world: World) -> None:
    world.fleet.resident.add("coder")
    listed = msgspec.json.decode((await client.get("/api/profiles")).content, type=list[ProfileInfo])
    coder, found, broken = listed
    assert (coder.state, coder.default, coder.aliases) == ("ready", True, ("fast",))
    assert (found.name, found.size) == (FOUND, 10)
    assert broken.problem is not None
    assert broken.problem.code == "model_broken"


@pytest.mark.parametrize("name", ["coder", "fast", FOUND, QUOTED])
async def test_a_profile_by_any_of_its_names(client: httpx.AsyncClient, name: str) -> None:
    answer = await client.get(f"/api/profiles/{name}")
    assert answer.status_code == 200, answer.text
    assert msgspec.json.decode(answer.content, type=ProfileInfo).name in ("coder", FOUND)


@pytest.mark.parametrize("name", ["coder", "fast", FOUND, QUOTED])
async def test_the_plan_of_a_profile(client: httpx.AsyncClient, name: str) -> None:
    answer = await client.get(f"/api/profiles/{name}/plan")
    assert answer.status_code == 200, answer.text
    assert msgspec.json.decode(answer.content, type=PlanReport).profile in ("coder", FOUND)
    assert problem(await client.get("/api/profiles/broken/plan"), 500) == "model_broken"
    assert problem(await client.get("/api/profiles/nobody/plan"), 404) == "model_not_found"


@pytest.mark.parametrize("name", [FOUND, QUOTED])
async def test_load_and_unload(client: httpx.AsyncClient, world: World, name: str) -> None:
    loaded = msgspec.json.decode((await client.post(f"/api/profiles/{name}/load")).content, type=Switched)
    assert loaded == Switched(profile=FOUND, state="ready")
    answer = await client.post(f"/api/profiles/{name}/unload", json={"now": True})
    assert answer.status_code == 200
    assert msgspec.json.decode(answer.content, type=Switched).unloaded == (FOUND,)
    assert world.fleet.asked[-1] == ("unload", FOUND, True)


async def test_a_hold_has_a_name_and_an_end(client: httpx.AsyncClient) -> None:
    for hold, name in (("30m", "hold-1800"), (90, "hold-90")):
        answer = await client.post("/api/load", json={"profile": "fast", "hold": hold})
        told = msgspec.json.decode(answer.content, type=HoldInfo)
        assert (told.profile, told.state, told.id) == ("coder", "ready", name)
    without = msgspec.json.decode((await client.post("/api/load", json={"profile": "fast"})).content, type=HoldInfo)
    assert (without.id, without.hold_s) == (None, None)
    ended = await client.delete("/api/load/hold-90")
    assert msgspec.json.decode(ended.content, type=HoldInfo).profile == "coder"
    for wrong in ("soon", 0, -3, "99999d", 7 * 86400 + 1):
        refused = await client.post("/api/load", json={"profile": "fast", "hold": wrong})
        assert problem(refused, 400) == "invalid_request"


@pytest.mark.parametrize("name", [FOUND, QUOTED])
async def test_pin_and_unpin(client: httpx.AsyncClient, world: World, name: str) -> None:
    for method, pin in (("POST", True), ("DELETE", False)):
        answer = await client.request(method, f"/api/profiles/{name}/pin")
        told = msgspec.json.decode(answer.content, type=Pinned)
        assert told == Pinned(profile=FOUND, state="unloaded", pinned=pin)
        assert world.fleet.asked[-1] == ("pin", FOUND, pin)


async def test_switch_unloads_others_unless_kept(client: httpx.AsyncClient, world: World) -> None:
    world.fleet.resident.add(FOUND)
    kept = await client.post("/api/profiles/coder/switch", json={"keep": True})
    assert msgspec.json.decode(kept.content, type=Switched).unloaded == ()
    switched = await client.post("/api/profiles/coder/switch")
    assert msgspec.json.decode(switched.content, type=Switched).unloaded == (FOUND,)


async def test_errors_are_problems(client: httpx.AsyncClient) -> None:
    assert problem(await client.get("/api/profiles/nobody"), 404) == "model_not_found"
    failed = await client.post("/api/profiles/broken/load")
    assert problem(failed, 502) == "out_of_memory"
    assert failed.headers["retry-after"] == "3"
    assert problem(await client.get("/api/nothing"), 404) == "not_found"
    assert problem(await client.delete("/api/gateway"), 405) == "method_not_allowed"
    assert problem(await client.get("/api/requests?limit=many"), 400) == "invalid_request"
    assert problem(await client.get("/api/requests?limit=100000"), 400) == "invalid_request"
    assert problem(await client.post("/api/requests/none/cancel"), 404) == "not_found"
    assert problem(await client.get("/api/instances/none"), 404) == "not_found"


@pytest.mark.parametrize("body", [b"{", b'{"keeep": true}', b'{"keep": "yes"}', b"[]", b"\xff"])
async def test_a_malformed_body_is_the_clients_fault(client: httpx.AsyncClient, body: bytes) -> None:
    headers = {"content-type": "application/json"}
    answer = await client.post("/api/profiles/coder/switch", content=body, headers=headers)
    assert problem(answer, 400) == "invalid_request"


async def test_a_huge_body_is_refused(client: httpx.AsyncClient) -> None:
    answer = await client.post("/api/profiles/coder/switch", json={"keep": True, "x": "y" * 100_000})
    assert problem(answer, 413) == "body_too_large"


async def test_instances(client: httpx.AsyncClient, world: World) -> None:
    world.fleet.resident.add("coder")
    (listed,) = msgspec.json.decode((await client.get("/api/instances")).content, type=list[Instance])
    assert listed.id == "coder-1"
    one = msgspec.json.decode((await client.get("/api/instances/coder-1")).content, type=Instance)
    assert one.argv == ("llama-server",)


async def test_requests_and_cancel(client: httpx.AsyncClient) -> None:
    both = msgspec.json.decode((await client.get("/api/requests")).content, type=Requests)
    assert [each.id for each in both.in_flight] == ["req-1"]
    assert len(both.recent) == 3
    none = msgspec.json.decode((await client.get("/api/requests?limit=0&profile=broken")).content, type=Requests)
    assert none == Requests(in_flight=(), recent=())
    cancelled = await client.post("/api/requests/req-1/cancel")
    assert msgspec.json.decode(cancelled.content, type=Cancelled).request == "req-1"


async def test_logs(client: httpx.AsyncClient) -> None:
    own = await client.get("/api/logs?lines=2")
    assert own.text == "hostler.log 1\nhostler.log 2\n"
    assert own.headers["content-type"].startswith("text/plain")
    assert (await client.get("/api/logs?profile=fast&lines=1")).text == "coder.log 2\n"
    assert problem(await client.get("/api/logs?profile=nobody"), 404) == "model_not_found"


async def test_a_followed_log_ends_with_the_gateway(client: httpx.AsyncClient, world: World) -> None:
    with anyio.fail_after(10):
        following = asyncio.ensure_future(client.get("/api/logs?follow=true&lines=1"))
        await asyncio.sleep(0)
        world.closing.set()
        await following
    assert following.result().status_code == 200


class TestWhoMayManage:
    """Keys, origins and host names."""

    async def test_with_keys_one_of_scope_admin_is_needed(self, client: httpx.AsyncClient, world: World) -> None:
        admin, user = world.keys.add("boss"), world.keys.add("app", "inference")
        assert problem(await client.get("/api/profiles"), 401) == "unauthorized"
        bearer = {"authorization": f"Bearer {user}"}
        assert problem(await client.get("/api/profiles", headers=bearer), 403) == "forbidden"
        assert (await client.get("/api/profiles", headers={"x-api-key": admin})).status_code == 200
        for path in ("/api/docs", "/api/docs/rapidoc-min.js", "/api/schema"):
            assert (await client.get(path)).status_code == 200

    @pytest.mark.parametrize(
        "headers",
        [
            {"origin": "https://evil.example"},
            {"origin": "null"},
            {"origin": "http://127.0.0.1:9999"},
            {"sec-fetch-site": "cross-site"},
        ],
    )
    async def test_a_foreign_page_changes_nothing(
        self, client: httpx.AsyncClient, world: World, headers: dict[str, str]
    ) -> None:
        assert problem(await client.post("/api/profiles/coder/load", headers=headers), 403) == "forbidden"
        assert world.fleet.asked == []

    async def test_our_own_page_may(self, client: httpx.AsyncClient) -> None:
        headers = {"origin": "http://127.0.0.1:4785", "sec-fetch-site": "same-origin"}
        assert (await client.post("/api/profiles/coder/load", headers=headers)).status_code == 200

    async def test_a_rebound_name_is_refused_until_there_are_keys(
        self, client: httpx.AsyncClient, world: World
    ) -> None:
        host = {"host": "evil.example:4785"}
        assert problem(await client.get("/api/profiles", headers=host), 403) == "forbidden"
        key = world.keys.add("boss")
        assert (await client.get("/api/profiles", headers=host | {"x-api-key": key})).status_code == 200


async def test_an_auto_name_stands_for_what_it_means_now(client: httpx.AsyncClient, world: World) -> None:
    """It was refused as removed, and listed as failed from then on."""
    world.catalogue.autos["any"] = "coder"
    assert (await client.post("/api/profiles/any/load")).json()["profile"] == "coder"
    assert (await client.post("/api/profiles/any/switch")).json()["profile"] == "coder"
    assert (await client.post("/api/load", json={"profile": "any", "hold": "1m"})).json()["profile"] == "coder"
    assert {profile for _, profile, _ in world.fleet.asked} == {"coder"}
    assert (await client.get("/api/profiles/any")).json()["origin"] == "auto"
