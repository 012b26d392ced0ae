"""Keys are made and removed by command while the gateway runs."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import anyio
import pytest
from gateway_process import HOSTLER, RunningGateway, eventually

pytestmark = pytest.mark.anyio


async def test_keys_come_and_go_without_a_restart(gateway, place) -> None:
    running = gateway(place.fake("coder"))
    assert running.cli("ls").code == 0
    made = running.cli("key", "new", "me", "--scope", "admin")
    assert made.code == 0
    key = {"authorization": f"Bearer {made.out.strip()}"}

    async def status(headers) -> int:
        return (await running.get("/v1/models", headers)).status

    async def refused() -> bool:
        return await status(None) == 401

    await eventually(refused, "the first key is needed")
    assert await status(key) == 200
    told = running.cli("ls")
    assert told.code == 1
    assert "Set HOSTLER_KEY" in told.err

    user = {"x-api-key": running.cli("key", "new", "laptop", "--json").json["key"]}

    async def known() -> bool:
        return await status(user) == 200

    await eventually(known, "a further key is taken")
    assert (await running.get("/api/gateway", user)).status == 403
    assert (await running.get("/api/gateway", key)).status == 200

    assert running.cli("key", "rm", "laptop").code == 0

    async def forgotten() -> bool:
        return await status(user) == 401

    await eventually(forgotten, "a removed key is refused")
    assert running.cli("key", "rm", "me").code == 0

    async def opened() -> bool:
        return await status(None) == 200

    await eventually(opened, "on loopback nothing is needed without keys")
    assert made.out.strip() not in running.logged()


def command_lines() -> str:
    return "".join(file.read_text(errors="replace") for file in Path("/proc").glob("[0-9]*/cmdline") if file.exists())


async def used_everywhere(running: RunningGateway, key: str) -> str:
    """Everything that is answered to whoever shows this key, in every way, to every kind of path."""
    said = []
    for headers in ({"authorization": f"Bearer {key}"}, {"x-api-key": key}, {"authorization": f"bearer  {key} "}):
        for path in (
            "/api/gateway",
            "/api/audit",
            "/api/requests",
            "/api/usage",
            "/api/config",
            "/api/logs?lines=1000",
            "/metrics",
            "/ready",
            "/v1/models",
            "/v1/models/none",
            f"/v1/models?key={key}",
            "/api/nothing",
        ):
            said.append(await running.get(path, headers))
        for path in ("/api/profiles/coder/load", "/api/profiles/none/load", "/api/profiles/coder/pin"):
            said.append(await running.post(path, {}, headers))
        for name in ("coder", "none"):
            asked = {"model": name, "messages": [{"role": "user", "content": f"My key is {key}."}]}
            said.append(await running.post("/v1/chat/completions", asked, headers))
            said.append(await running.post("/v1/messages", asked | {"max_tokens": 4}, headers))
    return "".join(
        str(answer.headers) + answer.body.decode(errors="replace") for answer in said if answer.status != 200
    )


async def test_a_key_is_written_nowhere(gateway, place) -> None:
    """Not even where a user puts one into a prompt, and captures are on; nor one that is wrong."""
    admin = place.cli("key", "new", "me", "--scope", "admin").out.strip()
    user = place.cli("key", "new", "laptop", "--profile", "coder").out.strip()
    over = place.cli("key", "new", "guest", "--expires", "1ms").out.strip()
    running = gateway(place.fake("coder", "capture = true"), up=("--log-level", "debug"))
    keys = (admin, user, over, "hostler-wrong-as-can-be-0123456789")
    refusals = "".join([await used_everywhere(running, key) for key in keys])
    told = [
        (await running.get(path, {"x-api-key": admin})).body.decode()
        for path in ("/api/audit", "/api/requests?limit=1000", "/api/logs?lines=10000", "/api/config", "/metrics")
    ]
    async with running.events(headers={"x-api-key": admin}) as events:
        async for event in events:
            told.append(repr(event))
            if "lease.ended" in told[-1] or "LeaseEnded" in told[-1]:
                break
    told += [place.cli(*words).out for words in (("key", "ls"), ("audit",), ("config", "show"), ("doctor",))]
    lines = command_lines()
    running.signal()
    assert await running.ended() == 0
    written = [*place.state.rglob("*"), *place.logs.rglob("*"), place.base / "up.out"]
    assert any("captures" in file.parts for file in written)
    for key in keys:
        assert key not in refusals
        assert key not in "".join(told)
        assert key not in lines
        assert [file for file in written if file.is_file() and key.encode() in file.read_bytes()] == []
    assert "laptop" in "".join(told)


async def test_a_whole_life_of_keys_in_an_empty_home(gateway, place) -> None:
    """Without one others cannot reach it; what each key may is kept to; an admin manages, as long as there are keys."""
    place.write(place.fake("coder"), place.fake("other"))
    refused = place.cli("up", "--host", "0.0.0.0")
    assert refused.code == 1
    assert "hostler key new" in refused.err
    admin = {"x-api-key": place.cli("key", "new", "me", "--scope", "admin").out.strip()}
    guest = {"x-api-key": place.cli("key", "new", "guest", "--profile", "oth*", "--expires", "1h").out.strip()}
    over = {"x-api-key": place.cli("key", "new", "over", "--expires", "1ms").out.strip()}
    running = gateway()
    rebound = {"host": "evil.example"}
    assert [(await running.get("/v1/models", each)).status for each in ({}, over, rebound)] == [401, 401, 401]
    assert [(await running.get("/api/gateway", each)).status for each in ({}, over, guest, admin)] == [
        401,
        401,
        403,
        200,
    ]
    assert (await running.get("/api/gateway", admin | rebound)).status == 200  # a page has no key
    listed = (await running.get("/v1/models", guest)).json()["data"]
    assert [each["id"] for each in listed] == ["other"]
    hello = {"messages": [{"role": "user", "content": "Hello"}]}
    assert (await running.post("/v1/chat/completions", {"model": "coder", **hello}, guest)).status == 404
    assert (await running.post("/v1/chat/completions", {"model": "other", **hello}, guest)).status == 200
    names = [each["name"] for each in place.cli("key", "ls", "--json").json]
    assert names == ["me", "guest", "over"]
    assert [place.cli("key", "rm", name).code for name in names] == [0, 0, 0]

    async def opened() -> bool:
        return (await running.get("/api/gateway")).status == 200

    await eventually(opened, "on loopback nothing is needed without keys")
    assert (await running.get("/api/gateway", rebound)).status == 403


OPEN_TO_OTHERS = "0.0.0.0"  # asked by 127.0.0.1 alone


async def test_an_address_that_others_reach_wants_a_key(gateway, place) -> None:
    """Refused without one, with the way out; with one it serves, by any name, whoever has a key, and nobody else."""
    place.write(place.fake("coder"), top=f'host = "{OPEN_TO_OTHERS}"')
    refused = place.cli("up")
    assert refused.code == 1
    assert f"Listening on {OPEN_TO_OTHERS} without any key would let everybody on the network in." in refused.err
    assert "hostler key new NAME" in refused.err
    assert 'host = "127.0.0.1"' in refused.err
    assert not (place.state / "gateway.json").exists()

    key = {"authorization": f"Bearer {place.cli('key', 'new', 'me', '--scope', 'admin').out.strip()}"}
    running = gateway()
    assert (await running.get("/health")).status == 200
    for headers in ({}, {"host": "127.0.0.1"}, {"host": "evil.example"}, {"authorization": "Bearer hostler-x"}):
        for path in ("/v1/models", "/api/gateway", "/api/tags", "/metrics", "/upstream/coder/health"):
            assert (await running.get(path, headers)).status == 401, (headers, path)
        assert (await running.post("/v1/chat/completions", {"model": "coder"}, headers)).status == 401
    for host in ("127.0.0.1", "evil.example", "machine.lan:4785"):
        assert (await running.get("/v1/models", key | {"host": host})).status == 200
    assert (await running.get("/api/gateway", key)).json()["url"].startswith(f"http://{OPEN_TO_OTHERS}:")
    assert place.cli("key", "rm", "me").code == 0

    async def closed() -> bool:
        answer = await running.get("/v1/models", key)
        return answer.status == 401 and "can be reached by others and has no key" in answer.body.decode()

    await eventually(closed, "without any key nobody comes in, this machine included")


ASK = """
import json, os, sys, urllib.error, urllib.request

def status(path, key, body=None):
    data = None if body is None else json.dumps(body).encode()
    asked = urllib.request.Request(os.environ["HOSTLER_URL"] + path, data, {"Authorization": "Bearer " + key})
    try:
        return urllib.request.urlopen(asked).status
    except urllib.error.HTTPError as error:
        return error.code

key = os.environ["OPENAI_API_KEY"]
chat = {"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 2}
told = {name: status("/v1/chat/completions", key, {"model": name, **chat}) for name in ("coder", "other")}
told["api"] = status("/api/gateway", key)
told["lend"] = status("/api/keys", key, {"name": "x", "profiles": ["other"], "lasts_s": 60})
told["key"] = key
told["held"] = [name for name, value in os.environ.items() if value == sys.argv[1]]
print(json.dumps(told))
"""


async def test_a_command_gets_a_key_of_its_own_for_as_long_as_it_runs(gateway, place) -> None:
    admin = place.cli("key", "new", "me", "--scope", "admin").out.strip()
    place.write(place.fake("coder"), place.fake("other"))
    running = gateway()
    words = (str(HOSTLER), "run", "coder", "--", sys.executable, "-c", ASK, admin)
    done = await anyio.run_process(words, env=place.environment() | {"HOSTLER_KEY": admin})
    told = json.loads(done.stdout)
    assert (told["coder"], told["other"], told["api"], told["lend"], told["held"]) == (200, 404, 403, 403, [])
    lent = {"authorization": f"Bearer {told['key']}"}
    assert (await running.get("/v1/models", lent)).status == 401
    assert [each["name"] for each in place.cli("key", "ls", "--json").json] == ["me"]
    rows = [(row["who"], row["action"]) for row in reversed(place.cli("audit", "--json").json)]
    assert rows[1:] == [("me", "load"), ("me", "lend key"), ("me", "take key back"), ("me", "end hold")]
    name = place.cli("audit", "--json").json[1]["target"]
    assert name.startswith("run-python")
    requests = (await running.get("/api/requests", {"x-api-key": admin})).json()["recent"]
    assert name in {each["principal"] for each in requests}
