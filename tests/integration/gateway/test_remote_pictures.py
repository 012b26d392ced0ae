"""Pictures that are addresses: fetched where it is allowed, from nowhere near, and sent on as data."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import suppress

import msgspec
import pytest
from gateway_fakes import ANSWER, EngineSide, Gateway, Heard, served

from hostler.engines.protocol import Endpoint, Remote
from hostler.fleet.protocol import Needs, Served
from hostler.gateway.asking.elsewhere import LARGEST, MOST

pytestmark = pytest.mark.anyio

PNG = b"\x89PNG\r\n\x1a\n" + b"pixels"
DATA = base64.b64encode(PNG).decode()
SEEING = msgspec.structs.replace(served("eye", "chat"), abilities=frozenset(["images"]), remote_images=True)


class Web:
    """A server of pictures; which paths were asked for, and how."""

    def __init__(self) -> None:
        self.heads: list[str] = []
        self.port = 0

    def url(self, path: str, host: str = "pictures.example") -> str:
        return f"http://{host}:{self.port}/{path}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        self.heads.append(head)
        writer.write(self._answer(head.split()[1].removeprefix("/")))
        with suppress(ConnectionError):
            await writer.drain()
        writer.close()

    def _answer(self, path: str) -> bytes:
        moved = {
            "moved": self.url("a.png"), "inward": self.url("a.png", "inner.example"), "round": self.url("round"),
            "file": "file:///etc/passwd", "relative": "/a.png",
        }  # fmt: skip
        if path in moved:
            return f"HTTP/1.1 302 Found\r\nLocation: {moved[path]}\r\nContent-Length: 0\r\n\r\n".encode()
        if path == "chunked.png":
            return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(PNG), PNG)
        if path == "closing.png":
            return b"HTTP/1.1 200 OK\r\n\r\n" + PNG
        bodies = {"a.png": PNG, "page": b"<html>", "huge.png": PNG + b"x" * LARGEST}
        status = b"200 OK" if path in bodies else b"404 Not Found"
        body = bodies.get(path, b"")
        return b"HTTP/1.1 %b\r\nContent-Type: image/png\r\nContent-Length: %d\r\n\r\n%b" % (status, len(body), body)


@pytest.fixture
async def web(gateway: Gateway) -> AsyncIterator[Web]:
    web = Web()
    server = await asyncio.start_server(web.serve, "127.0.0.1", 0)
    web.port = server.sockets[0].getsockname()[1]
    gateway.names |= {
        "pictures.example": ["127.0.0.1"], "inner.example": ["127.0.0.2"], "both.example": ["127.0.0.1", "10.0.0.1"],
    }  # fmt: skip
    gateway.catalogue.served["eye"] = SEEING
    gateway.catalogue.served["shut"] = msgspec.structs.replace(SEEING, name="shut", remote_images=False)
    yield web
    server.close()
    await server.wait_closed()


def asking(url: str, model: str = "eye") -> dict[str, object]:
    parts = [{"type": "text", "text": "What is it?"}, {"type": "image_url", "image_url": {"url": url, "detail": "low"}}]
    return {"model": model, "messages": [{"role": "user", "content": parts}], "temperature": 0.5}


@pytest.mark.parametrize("path", ["a.png", "moved", "relative", "chunked.png", "closing.png"])
async def test_a_picture_is_fetched_and_sent_as_data(gateway: Gateway, web: Web, path: str) -> None:
    answer = await gateway.ask(asking(web.url(path)), headers="Authorization: Bearer mine\r\nCookie: c=1\r\n")
    assert answer.status == 200, answer.body
    wanted = asking(f"data:image/png;base64,{DATA}")
    assert json.loads(gateway.engine.heard[0].body) == wanted
    assert all("mine" not in head and "cookie" not in head.lower() for head in web.heads)


async def test_in_the_words_of_each_api(gateway: Gateway, web: Web) -> None:
    source = {"type": "image", "source": {"type": "url", "url": web.url("a.png")}}
    result = {"type": "tool_result", "tool_use_id": "t", "content": [source]}
    messages = {"model": "eye", "max_tokens": 9, "messages": [{"role": "user", "content": [source, result]}]}
    assert (await gateway.ask(messages, "/v1/messages")).status == 200
    heard = json.loads(gateway.engine.heard[0].body)["messages"][0]["content"]
    sent = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": DATA}}
    assert heard == [sent, {**result, "content": [sent]}]
    part = {"type": "input_image", "image_url": web.url("a.png")}
    output = {"type": "function_call_output", "call_id": "c", "output": [part]}
    response = {"model": "eye", "input": [{"role": "user", "content": [part]}, output]}
    assert (await gateway.ask(response, "/v1/responses")).status == 200
    said, gave = json.loads(gateway.engine.heard[1].body)["input"]
    assert said["content"] == gave["output"] == [{**part, "image_url": f"data:image/png;base64,{DATA}"}]


async def test_nothing_is_fetched_unless_allowed(gateway: Gateway, web: Web) -> None:
    for path, body in (
        ("/v1/chat/completions", asking(web.url("a.png"), "shut")),
        ("/v1/messages", {"model": "shut", "max_tokens": 9, "messages": [{"role": "user", "content": [
            {"type": "image", "source": {"type": "url", "url": web.url("a.png")}}]}]}),
    ):  # fmt: skip
        answer = await gateway.ask(body, path)
        error = answer.json()["error"]
        assert (answer.status, error["code"]) == (400, "invalid_request")
        assert "remote_images" in error["message"]
    assert (web.heads, gateway.engine.heard) == ([], [])


@pytest.mark.parametrize(
    "path", ["inward", "round", "file", "page", "huge.png", "missing", "http://both.example/x", "http://10.0.0.1/x",
             "http://u:p@pictures.example/x", "ftp://pictures.example/x", "http://nobody.example/", "http://[::1]/",
             "http://[", "http://\u2100/"],
)  # fmt: skip
async def test_what_cannot_be_fetched_is_told(gateway: Gateway, web: Web, path: str) -> None:
    answer = await gateway.ask(asking(path if "//" in path else web.url(path)))
    error = answer.json()["error"]
    assert (answer.status, error["code"]) == (400, "invalid_request"), error
    assert "cannot be fetched" in error["message"]
    assert gateway.engine.heard == []
    assert gateway.fleet.leases == []


async def test_so_many_at_the_most(gateway: Gateway, web: Web) -> None:
    body = asking(web.url("a.png"))
    part = {"type": "image_url", "image_url": {"url": web.url("a.png")}}
    for count, status in ((MOST, 200), (MOST + 1, 400)):
        assert (await gateway.ask({**body, "messages": [{"role": "user", "content": [part] * count}]})).status == status


async def test_a_program_gets_no_address_either(gateway: Gateway, web: Web) -> None:
    gateway.catalogue.served["vllm"] = msgspec.structs.replace(SEEING, counts=False, remote_images=False)
    assert (await gateway.ask(asking(web.url("a.png"), "vllm"))).status == 400
    gateway.catalogue.served["vllm"] = msgspec.structs.replace(SEEING, counts=False, abilities=frozenset())
    assert (await gateway.ask(asking(web.url("a.png"), "vllm"))).status == 200


async def test_a_remote_fetches_by_itself_and_a_blind_spare_is_not_asked(gateway: Gateway, web: Web) -> None:
    """The remote is overloaded, and what it would turn to cannot see: the client hears of the remote."""
    there = gateway.engine.endpoint
    remote = Remote(base="/v1", tls=False, speaks="openai", model="big", forward_key=False)
    gateway.fleet.endpoint = Endpoint(there.host, there.port, "", remote)
    gateway.fleet.endpoints["tiny"] = there
    cloud = msgspec.structs.replace(served("cloud", "chat"), speaks="openai", called="big")
    blind = gateway.catalogue.served["tiny"]

    def choose(needs: Needs) -> tuple[Served, ...]:
        return (cloud, blind)

    gateway.catalogue.served["auto"] = msgspec.structs.replace(cloud, choose=choose)
    assert (await gateway.ask(asking(web.url("a.png"), "auto"))).status == 200
    assert json.loads(gateway.engine.heard[0].body) == asking(web.url("a.png"), "big")

    async def busy(heard: Heard, side: EngineSide) -> None:
        await (side.json({}, "503 No") if b"x-request-id" not in heard.headers else side.json(ANSWER))

    gateway.engine.script = busy
    answer = await gateway.ask(asking(web.url("a.png"), "auto"))
    assert (answer.status, answer.json()["error"]["code"]) == (503, "remote_busy")
