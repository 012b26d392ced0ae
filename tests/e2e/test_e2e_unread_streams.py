"""Readers that stop reading cost the gateway no memory, and nobody else their answer."""

from __future__ import annotations

import fcntl
import json
import socket
import struct
import termios

import psutil
import pytest
from gateway_process import chat_body, eventually

pytestmark = pytest.mark.anyio

READERS = 200
#: What is buffered for each on its way: ours, the loop's, and what a stream and its two connections take.
EACH = 64 * 1024


def unread(client: socket.socket) -> int:
    """Bytes that have come and were not read."""
    return int(struct.unpack("i", fcntl.ioctl(client, termios.FIONREAD, b"\0" * 4))[0])


def asked(address: tuple[str, int]) -> socket.socket:
    """A client that asks for a stream of about 200 MB and reads none of it."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect(address)
    body = json.dumps(chat_body("wide", stream=True, max_tokens=1_000_000)).encode()
    head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(body)
    client.sendall(head + body)
    return client


async def test_streams_that_nobody_reads_take_no_memory(gateway, place) -> None:
    running = gateway(place.fake("wide", f"slots = {READERS + 10}", tokens=1_000_000, batch=256), place.fake("other"))
    assert (await running.chat("wide", max_tokens=4)).status == 200
    assert (await running.chat("other", max_tokens=4)).status == 200
    process = psutil.Process(running.pid)
    before = process.memory_info().rss
    clients = [asked(running.address) for _ in range(READERS)]
    try:
        await eventually(lambda: all(unread(client) for client in clients), "every stream has begun")
        seen: list[int] = []

        async def settled() -> bool:
            seen.append(process.memory_info().rss)
            return len(seen) > 50 and max(seen[-40:]) - min(seen[-40:]) < 2**20

        await eventually(settled, "the gateway takes no more")
        assert seen[-1] - before < READERS * EACH
        assert (await running.chat("other", max_tokens=4)).status == 200
        assert (await running.chat("wide", max_tokens=4)).status == 200
    finally:
        for client in clients:
            client.close()
    await eventually(running.idle, "their slots are free")
