"""Local for simple work, a cloud model for hard work: over TLS, to a server that speaks Anthropic's API."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from certificates import certificate
from gateway_process import Home, RunningGateway, eventually

pytestmark = pytest.mark.anyio

KEY = "sk-secret-0123456789"
USAGE = {"input_tokens": 9, "output_tokens": 2}
MESSAGE = {
    "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-x", "stop_reason": "end_turn",
    "content": [{"type": "text", "text": "From afar."}], "usage": USAGE,
}  # fmt: skip


class Cloud:
    """Answers as the API does; a stream begins and then says nothing until its client leaves."""

    def __init__(self) -> None:
        self.heads: list[bytes] = []
        self.asked: list[dict[str, object]] = []
        self.left = asyncio.Event()
        self.status = "200 OK"
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                self.heads.append(head)
                self.asked.append(json.loads(await reader.readexactly(length)))
                if self.asked[-1].get("stream"):
                    await self._stream(reader, writer)
                    return
                body = json.dumps(MESSAGE).encode()
                fields = f"Content-Type: application/json\r\nContent-Length: {len(body)}"
                writer.write(f"HTTP/1.1 {self.status}\r\n{fields}\r\n\r\n".encode() + body)
        except (OSError, asyncio.IncompleteReadError):
            return
        finally:
            writer.close()

    async def _stream(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        begin = {"type": "message_start", "message": {**MESSAGE, "content": []}}
        piece = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "From"}}
        events = b"".join(b"data: %b\n\n" % json.dumps(event).encode() for event in (begin, piece))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n" + events)
        try:
            await reader.read()
        finally:
            self.left.set()


@asynccontextmanager
async def cloud(folder: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Cloud]:
    """Running, and trusted by whatever is started meanwhile."""
    public, context = certificate(folder)
    monkeypatch.setenv("SSL_CERT_FILE", str(public))
    made = Cloud()
    async with await asyncio.start_server(made.serve, "127.0.0.1", 0, ssl=context) as server:
        made.port = server.sockets[0].getsockname()[1]
        yield made


def config(place: Home, port: int) -> str:
    return (
        place.fake("local", "context = 512")
        + '[profiles.cloud]\nmodel = "claude-x"\n[profiles.cloud.engine]\nkind = "remote"\nspeaks = "anthropic"\n'
        + f'url = "https://127.0.0.1:{port}"\nkey_env = "CLOUD_KEY"\n'
        + '[auto.any]\nprofiles = ["local", "cloud"]\nrules = ["ability", "context"]\nfallback = ["local"]\n'
    )


async def test_hard_work_goes_to_the_cloud(
    gateway, place: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with cloud(tmp_path, monkeypatch) as there:
        monkeypatch.setenv("CLOUD_KEY", KEY)
        running: RunningGateway = gateway(config(place, there.port), up=("--log-level", "debug"))
        easy = await running.chat("any", max_tokens=2)
        assert (easy.status, easy.headers["x-hostler-profile"]) == (200, "local")
        assert there.heads == []

        hard = await running.chat("any", reasoning_effort="high")
        assert (hard.status, hard.headers["x-hostler-profile"]) == (200, "cloud"), hard.body
        assert hard.json()["choices"][0]["message"]["content"] == "From afar."  # type: ignore[index]
        assert f"x-api-key: {KEY}".encode() in there.heads[0]
        assert (there.asked[0]["model"], there.asked[0]["output_config"]) == ("claude-x", {"effort": "high"})

        there.status = "529 Overloaded"
        spare = await running.chat("any", reasoning_effort="high", max_tokens=2)
        assert (spare.status, spare.headers["x-hostler-profile"]) == (200, "local")
        assert (await running.chat("cloud")).status == 503

        rows = await eventually(lambda: _rows(running), "four rows in the ledger")
        assert {(row["profile"], row["status"]) for row in rows} == {("local", 200), ("cloud", 200), ("cloud", 503)}
        (paid,) = [row for row in rows if row["profile"] == "cloud" and row["status"] == 200]
        assert (paid["tokens_in"], paid["tokens_out"]) == (9, 2)
        assert "remote: 127.0.0.1" in place.cli("ps").out
        assert "remote" in place.cli("ls").out
        assert place.cli("switch", "local").code == 0
        assert (await running.instance("cloud"))["state"] == "ready"
        await _nowhere(place, running)


async def _rows(running: RunningGateway) -> list[dict[str, object]]:
    rows = (await running.api("/api/requests"))["recent"]
    return rows if len(rows) == 4 else []


async def _nowhere(place: Home, running: RunningGateway) -> None:
    """The key is in nothing that is written or told."""
    told = [place.cli(*words).out for words in (("config", "show"), ("ps", "--json"), ("ls", "--json"), ("doctor",))]
    for path in ("/api/config", "/api/profiles", "/api/instances", "/v1/models", "/api/requests"):
        told.append(str((await running.get(path)).body))
    files = [file.read_bytes() for file in _files(place.base)]
    assert "CLOUD_KEY" in "".join(told)
    assert KEY not in "".join(told)
    assert KEY.encode() not in b"".join([*files, _command_lines()])


def _command_lines() -> bytes:
    return b"".join(file.read_bytes() for file in Path("/proc").glob("[0-9]*/cmdline") if file.exists())


def _files(folder: Path) -> list[Path]:
    return [file for file in folder.rglob("*") if file.is_file()]


async def test_a_client_that_leaves_is_gone_there_at_once(
    gateway, place: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with cloud(tmp_path, monkeypatch) as there:
        monkeypatch.setenv("CLOUD_KEY", KEY)
        running: RunningGateway = gateway(config(place, there.port))
        async with running.streaming("cloud") as stream:
            async for event in stream.events():
                if "From" in event.data:
                    break
        async with asyncio.timeout(10):
            await there.left.wait()
        assert await eventually(running.idle, "no lease")


async def test_a_key_that_is_missing_is_told_before_and_after(gateway, place: Home) -> None:
    running: RunningGateway = gateway(config(place, 1))
    checked = place.cli("config", "check")
    assert (checked.code, "CLOUD_KEY is not set" in checked.out) == (0, True)
    assert "CLOUD_KEY" in place.cli("doctor").out
    error = (await running.chat("cloud")).json()["error"]
    assert error["code"] == "remote_key_missing"  # type: ignore[index]
    answer = await running.chat("any", reasoning_effort="high", max_tokens=2)
    assert (answer.status, answer.headers["x-hostler-profile"]) == (200, "local")
