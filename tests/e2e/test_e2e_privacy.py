"""What users say, and the key between gateway and engine, are written nowhere."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from gateway_process import Home, RunningGateway

pytestmark = pytest.mark.anyio

MARKER = "xyzzy-harbour-plugh"


def _engine_key(pid: int) -> str:
    words = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    (key,) = [word.partition(b"=")[2] for word in words if word.startswith(b"LLAMA_API_KEY=")]
    assert len(key) >= 32
    return key.decode()


def _written(place: Home) -> dict[Path, bytes]:
    """Every file that the gateway wrote, the database and what was printed included."""
    files = [*place.logs.rglob("*"), *place.state.rglob("*"), place.base / "up.out"]
    return {file: file.read_bytes() for file in files if file.is_file()}


def _command_lines() -> bytes:
    return b"".join(file.read_bytes() for file in Path("/proc").glob("[0-9]*/cmdline") if file.exists())


async def _talk(running: RunningGateway) -> None:
    """The marker in every place where a prompt can stand, with success and with every kind of failure."""
    for text in (MARKER, MARKER + " sea" * 3000):
        await running.chat("smollm2", text, max_tokens=8)
        async with running.streaming("smollm2", text, max_tokens=8) as stream:
            await stream.read()
        await running.post("/v1/completions", {"model": "smollm2", "prompt": text, "max_tokens": 4})
        await running.post("/v1/embeddings", {"model": "smollm2", "input": text})
    await running.post("/v1/chat/completions", f'{{"model": "smollm2", "messages": "{MARKER}", '.encode())
    await running.chat("smollm2", MARKER, grammar=f"root ::= {MARKER}")
    await running.chat("smollm2", MARKER, chat_template_kwargs={"x": MARKER})
    await running.post("/v1/chat/completions", {"model": "smollm2", "messages": [{"role": MARKER, "content": MARKER}]})
    await running.chat("fake", MARKER, fake={"crash_after": 1})


async def test_prompts_and_keys_are_in_no_file_and_no_command_line(gateway, place, smollm2: Path) -> None:
    running = gateway(
        place.profile("smollm2", smollm2, "embeddings = true"), place.fake("fake"), up=("--log-level", "debug")
    )
    assert (await running.chat("smollm2", MARKER, max_tokens=4)).status == 200
    key = _engine_key((await running.instance("smollm2"))["pid"])
    await _talk(running)

    assert key.encode() not in _command_lines()
    refused = running.cli("logs", "smollm2")
    assert refused.code == 0
    assert MARKER not in refused.out
    events = await running.api("/api/requests")
    assert MARKER not in str(events)
    running.signal()
    assert await running.ended() == 0
    for file, data in _written(place).items():
        assert MARKER.encode() not in data, file
        assert key.encode() not in data, file


async def test_what_is_written_is_for_its_owner_alone(gateway, place) -> None:
    running = gateway(place.fake("coder"))
    assert (await running.chat("coder")).status == 200
    await running.api("/api/requests")
    private = [place.state, place.logs]
    for folder in private:
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700, folder
    logs = [file for file in place.logs.rglob("*") if file.is_file()]
    assert {"hostler.log", "coder.log"} <= {file.name for file in logs}
    for file in logs:
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file


async def test_the_engine_answers_nobody_without_its_key(gateway, place, smollm2: Path) -> None:
    from hostler.testing import http

    running = gateway(place.profile("smollm2", smollm2))
    assert (await running.chat("smollm2", max_tokens=2)).status == 200
    port = await _engine_port((await running.instance("smollm2"))["pid"])
    body = {"messages": [{"role": "user", "content": "Hi"}]}
    answer = await http.request(("127.0.0.1", port), "POST", "/v1/chat/completions", body)
    assert answer.status == 401


async def _engine_port(pid: int) -> int:
    import psutil

    (listening,) = [each for each in psutil.Process(pid).net_connections("tcp") if each.status == psutil.CONN_LISTEN]
    assert listening.laddr.ip == "127.0.0.1"
    port: int = listening.laddr.port
    return port
