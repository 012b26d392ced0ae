"""Event streams over real sockets: SSE and WebSocket, resuming, gaps, filters, and the end."""

from __future__ import annotations

import json
import socket
from collections.abc import AsyncIterator
from contextlib import aclosing

import anyio
import anyio.lowlevel
import httpx
import msgspec
import pytest
import uvicorn
import websockets
from admin_fakes import World

from hostler.events import AnyEvent, LeaseEnded, MemoryHeld, Swap
from hostler.gateway.admin import streams

pytestmark = pytest.mark.anyio


def swap(number: int) -> AnyEvent:
    return Swap(profile=f"p{number}", evicted=(), reason="room")


@pytest.fixture
async def address(world: World, anyio_backend: str) -> AsyncIterator[str]:
    """The application behind a real server on a port that the kernel picked."""
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(world.app, lifespan="off", ws="websockets-sansio", log_config=None)  # type: ignore[arg-type]
    server = uvicorn.Server(config)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(server._serve, [listener])
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        world.closing.set()
        server.should_exit = True
    listener.close()


async def ids(lines: AsyncIterator[str], count: int) -> list[int]:
    found: list[int] = []
    with anyio.fail_after(10):
        async for line in lines:
            if line.startswith("id: "):
                found.append(int(line[4:]))
            if len(found) == count:
                break
    return found


async def test_sse_resumes_after_the_last_event(address: str, world: World) -> None:
    for number in range(5):
        world.bus.publish(swap(number))
    async with httpx.AsyncClient() as client:
        for path, headers in (("?after=2", {}), ("", {"last-event-id": "2"}), ("?after=0", {"last-event-id": "2"})):
            async with client.stream("GET", f"http://{address}/api/events{path}", headers=headers) as answer:
                assert answer.headers["content-type"].startswith("text/event-stream")
                assert await ids(answer.aiter_lines(), 3) == [3, 4, 5]


async def test_sse_tells_news_and_keeps_alive(address: str, world: World) -> None:
    async with httpx.AsyncClient() as client, client.stream("GET", f"http://{address}/api/events") as answer:
        lines = answer.aiter_lines()
        with anyio.fail_after(10):
            while await anext(lines) != streams.HEARTBEAT.decode().strip():
                pass
        world.bus.publish(swap(1))
        assert await ids(lines, 1) == [1]


async def test_a_filter_is_kept_alive_while_others_happen(world: World) -> None:
    """Each event that it left out began the time anew, so that a busy gateway said nothing for hours."""
    wanted = streams.Wanted.read(None, None, "lease.ended")
    source = streams.batches(world.bus, world.closing, wanted, heartbeat_s=0.2)
    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks, aclosing(source):

            async def others() -> None:
                while True:
                    world.bus.publish(swap(1))
                    await anyio.lowlevel.checkpoint()

            tasks.start_soon(others)
            assert await anext(source) == []
            tasks.cancel_scope.cancel()


async def test_sse_ends_with_the_gateway(address: str, world: World) -> None:
    async with httpx.AsyncClient() as client, client.stream("GET", f"http://{address}/api/events") as answer:
        lines = answer.aiter_lines()
        await anext(lines)
        world.closing.set()
        with anyio.fail_after(10):
            async for _ in lines:
                pass


async def test_a_wrong_filter_or_id_is_refused(address: str) -> None:
    async with httpx.AsyncClient() as client:
        wrong = await client.get(f"http://{address}/api/events?types=nonsense")
        assert wrong.status_code == 400
        assert "fleet.swap" in wrong.text
        wrong = await client.get(f"http://{address}/api/events", headers={"last-event-id": "x"})
        assert wrong.status_code == 400


async def test_a_websocket_gets_the_same(address: str, world: World) -> None:
    world.bus.publish(swap(1))
    ended = LeaseEnded(request="r", profile="p", instance="i", status=200, held_s=1)
    world.bus.publish(ended)
    uri = f"ws://{address}/api/events?after=0&types=lease.ended"
    with anyio.fail_after(10):
        async with websockets.connect(uri) as reader:
            first = json.loads(await reader.recv())
            assert (first["type"], first["id"]) == ("lease.ended", 2)
            world.bus.publish(ended)
            assert json.loads(await reader.recv())["id"] == 3
            world.closing.set()
            with pytest.raises(websockets.ConnectionClosedOK):
                await reader.recv()


async def test_a_foreign_page_gets_no_websocket(address: str) -> None:
    with pytest.raises(websockets.InvalidStatus) as refused:
        await websockets.connect(f"ws://{address}/api/events", origin="https://evil.example")  # type: ignore[arg-type]
    assert refused.value.response.status_code == 403


async def test_a_slow_reader_is_told_what_it_missed(world: World) -> None:
    wanted = streams.Wanted(after=0)
    async with aclosing(streams.batches(world.bus, world.closing, wanted, 1)) as batches:
        world.bus.publish(swap(1))
        assert [event.id for event in await anext(batches)] == [1]
        for number in range(150):  # the ring of this world holds 100
            world.bus.publish(swap(number))
        gap, first, *_ = await anext(batches)
        assert streams.frame(gap).split(b"\n")[1] == b"event: gap"
        assert b'"from":2,"to":51' in streams.frame(gap)
        assert first.id == 52


async def test_a_reader_from_an_earlier_run_starts_at_the_oldest(world: World) -> None:
    world.bus.publish(swap(1))
    async with aclosing(streams.batches(world.bus, world.closing, streams.Wanted(after=900), 1)) as batches:
        assert [event.id for event in await anext(batches)] == [1]


def test_an_event_with_a_name_that_is_no_text_ends_no_stream() -> None:
    """Such as that of a process which holds memory; each reader broke off there, again and again."""
    event = MemoryHeld(id=7, profile="a", device="gpu0", missing=1, holders=("py\udcff (pid 7)",), waited_s=2.0)
    assert b'"py? (pid 7)"' in streams.frame(event)
    shown = msgspec.json.decode(streams.message(event), type=AnyEvent)
    assert shown == msgspec.structs.replace(event, holders=("py? (pid 7)",))
