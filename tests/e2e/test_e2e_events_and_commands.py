"""What happens, as events and as the command line tells it, on a gateway that runs."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from gateway_process import Events, Home, RunningGateway, decode_event, eventually
from websockets.asyncio.client import connect

from hostler.events import InstanceChanged, LeaseEnded, LeaseGranted, LoadProgress
from hostler.testing import http

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, smollm2: Path) -> Iterator[RunningGateway]:
    """One gateway for those that need none of their own; each test has its own profile."""
    place = Home(tmp_path_factory.mktemp("commands"))
    place.write(
        *(place.fake(name) for name in ("typed", "counted")),
        place.fake("busy", rate=20, tokens=100_000),
        place.fake("logged", load_log="the coal is dry"),
        place.profile("twice", smollm2),
        place.profile("chatting", smollm2, "sampling = { max_tokens = 8 }"),
        top="[limits]\nload_grace_s = 0.1",
    )
    running = RunningGateway(place)
    try:
        yield running.wait_ready()
    finally:
        running.close()


def _socket(running: RunningGateway, query: str = "") -> connect:
    return connect(f"{running.url.replace('http', 'ws')}/api/events{query}")


async def test_a_reader_that_comes_back_misses_nothing_and_both_streams_agree(gateway, place) -> None:
    running = gateway(place.fake("coder"))
    async with running.events() as first:
        assert (await running.chat("coder")).status == 200
        left_at = (await first.until(LeaseEnded)).id
    ids = [event.id for event in first.seen]
    assert ids == list(range(1, left_at + 1))
    assert [event.at for event in first.seen] == sorted(event.at for event in first.seen)

    assert (await running.chat("coder")).status == 200
    last = (await running.api("/api/gateway"))["last_event"]
    async with running.events(after=None, headers={"Last-Event-ID": str(left_at)}) as again:
        await again.until(LeaseEnded)
    assert [event.id for event in again.seen] == list(range(left_at + 1, last + 1))

    async with _socket(running, f"?after={left_at}") as socket:
        over_socket = [decode_event(str(await socket.recv())) for _ in again.seen]
    assert over_socket == again.seen


async def test_only_the_wanted_types(shared: RunningGateway) -> None:
    running = shared
    last = (await running.api("/api/gateway"))["last_event"]
    wanted = f"/api/events?after={last}&types=lease.granted,lease.ended"
    async with http.stream(running.address, "GET", wanted) as stream:
        assert (await running.chat("typed")).status == 200
        events = Events(stream)
        await events.until(LeaseEnded)
    assert [type(event) for event in events.seen] == [LeaseGranted, LeaseEnded]


async def test_a_second_load_is_measured_against_the_first(shared: RunningGateway) -> None:
    running = shared
    last = (await running.api("/api/gateway"))["last_event"]
    assert running.cli("load", "twice", "--json").json["state"] == "ready"
    assert running.cli("unload", "twice", "--json").json["unloaded"] == ["twice"]
    async with running.events(after=last) as first:
        stopped = await first.until(InstanceChanged, lambda event: (event.profile, event.state) == ("twice", "stopped"))
    progress = [event for event in first.seen if isinstance(event, LoadProgress)]
    assert progress
    assert {event.fraction for event in progress} == {None}

    assert running.cli("load", "twice", "--json").json["state"] == "ready"
    async with running.events(after=stopped.id) as second:
        await second.until(InstanceChanged, lambda event: event.state == "ready")
    again = [event for event in second.seen if isinstance(event, LoadProgress)]
    fractions = [event.fraction for event in again]
    assert all(fraction is not None and 0 <= fraction <= 1 for fraction in fractions)
    assert fractions == sorted(fractions, key=lambda fraction: fraction or 0)
    assert all(event.estimated for event in again)
    assert (await running.profile("twice"))["load_s"] > 0


async def test_the_commands_of_residency(gateway, place) -> None:
    running = gateway(place.fake("one"), place.fake("two"), place.fake("pinned", "pin = true"))
    assert running.cli("ps", "--json").json == []
    for name in ("one", "pinned"):
        assert running.cli("load", name, "--json").json == {"profile": name, "state": "ready", "unloaded": []}

    kept = running.cli("switch", "two", "--keep", "--json").json
    assert kept["unloaded"] == []
    assert {each["profile"] for each in await running.instances()} == {"one", "two", "pinned"}
    switched = running.cli("switch", "two", "--json").json
    assert switched["unloaded"] == ["one"]
    assert {each["profile"] for each in running.cli("ps", "--json").json} == {"two", "pinned"}

    listed = {each["name"]: each["state"] for each in running.cli("ls", "--json").json}
    assert {name: listed[name] for name in ("one", "two", "pinned")} == {
        "one": "unloaded", "two": "ready", "pinned": "ready",
    }  # fmt: skip
    assert running.cli("unload", "two", "--json").json["state"] == "unloaded"
    unknown = running.cli("load", "nothing")
    assert unknown.code == 1
    assert "No profile" in unknown.err


async def test_requests_are_seen_and_cancelled(shared: RunningGateway) -> None:
    running = shared
    assert (await running.chat("busy", max_tokens=2)).status == 200  # from here on it is loaded
    async with (
        running.streaming("busy", headers={"x-request-id": "the-first"}) as first,
        running.streaming("busy", headers={"x-request-id": "the-second"}) as second,
    ):
        seen = {each["id"]: each["state"] for each in running.cli("requests", "--json").json["in_flight"]}
        assert seen == {"the-first": "running", "the-second": "queued"}
        assert running.cli("cancel", "the-second", "--json").json == {"request": "the-second"}
        assert '"error"' in (await second.read()).events()[-2].data
        assert running.cli("cancel", "the-first").code == 0
        assert '"error"' in (await first.read()).events()[-2].data
    assert running.cli("cancel", "the-first").code == 1
    await eventually(running.idle, "nothing runs")
    rows = {row["id"]: row for row in running.cli("requests", "--json").json["recent"]}
    assert rows["the-first"]["cancelled"]
    assert rows["the-second"]["cancelled"]
    assert (await running.chat("busy", max_tokens=2)).status == 200


async def test_finished_requests_are_kept_with_their_tokens(shared: RunningGateway) -> None:
    running = shared
    whole = await running.post(
        "/v1/chat/completions",
        {"model": "counted", "max_tokens": 7, "messages": [{"role": "user", "content": "Hi"}]},
        {"x-request-id": "whole"},
    )
    assert whole.headers["x-request-id"] == "whole"
    async with running.streaming("counted", max_tokens=5, headers={"x-request-id": "streamed"}) as stream:
        await stream.read()
    unknown = await running.post("/v1/chat/completions", {"model": "nobody"}, {"x-request-id": "refused"})
    assert unknown.status == 404
    rows = {row["id"]: row for row in (await running.api("/api/requests"))["recent"]}
    assert (rows["whole"]["tokens_out"], rows["streamed"]["tokens_out"]) == (7, 5)
    assert rows["whole"]["load_ms"] > 0
    assert rows["streamed"]["load_ms"] == 0
    assert [rows[name]["status"] for name in ("whole", "streamed", "refused")] == [200, 200, 404]


async def test_logs_of_gateway_and_engine(shared: RunningGateway) -> None:
    running = shared
    assert (await running.chat("logged")).status == 200
    own = running.cli("logs")
    assert "gateway.started" in own.out
    engine = running.cli("logs", "logged", "--json")
    lines = [json.loads(line)["line"] for line in engine.out.splitlines()]
    assert any("the coal is dry" in line for line in lines)
    async with http.stream(running.address, "GET", "/api/logs?profile=logged&follow=true") as followed:
        async for chunk in followed.chunks():
            if b"the coal is dry" in chunk.data:
                break


async def test_chatting_from_the_command_line(shared: RunningGateway) -> None:
    said = shared.cli("chat", "chatting", "Say hello.")
    assert said.code == 0, said
    assert said.out.strip()


async def test_the_page_and_the_greeting(shared: RunningGateway) -> None:
    running = shared
    assert (await running.get("/")).body == b"Ollama is running"
    page = await running.get("/", {"accept": "text/html,application/xhtml+xml"})
    assert page.headers["content-type"].startswith("text/html")
    assert b"://" not in page.body.replace(b"http://www.w3.org/", b"")
    schema = await running.api("/api/schema/openapi.json")
    assert "/api/profiles" in schema["paths"]
    assert (await running.get("/api/docs")).status == 200


async def test_commands_without_a_gateway_say_how_to_start_one(place) -> None:
    commands = (["ps"], ["load", "x"], ["switch", "x"], ["requests"], ["reload"])
    for told in await asyncio.gather(*(asyncio.to_thread(place.cli, *words) for words in commands)):
        assert told.code == 3, told
        assert "hostler up" in told.err
