"""The embedded build with a real model."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import anyio
import pytest

from hostler.engines.builds import Builds
from hostler.engines.logs import path_for
from hostler.engines.protocol import Buffer, Complaint, Stage
from hostler.engines.talking.exchange import ask
from hostler.errors import FlagUnsupported, LoadFailed
from hostler.hardware.process import process_start_time
from hostler.testing.builds import write_build

pytestmark = pytest.mark.anyio

MARKER = "xyzzymarker"
MODEL_BYTES = 98_362_432


def _command_line(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()


def _everything_in(folder: Path) -> str:
    return "".join(file.read_text(errors="replace") for file in folder.rglob("*") if file.is_file())


async def test_a_real_model_loads_generates_and_leaves(runner, spec, run, smollm2: Path, tmp_path: Path) -> None:
    driver = runner()
    wanted = spec(smollm2, context=512, slots=2)
    await driver.preflight(wanted)
    async with run(driver, wanted) as engine:
        assert engine.failure is None
        assert [each.name for each in engine.reports if isinstance(each, Stage)][-1] == "generating a first token"
        kinds = {each.kind for each in engine.reports if isinstance(each, Buffer)}
        assert {"model", "kv", "compute"} <= kinds
        assert not [each for each in engine.reports if isinstance(each, Complaint)]
        held = driver.resident_bytes(engine.started.pid, wanted)
        assert held is not None
        assert held["host"] > MODEL_BYTES // 2
        assert await driver.slots_busy(engine.ready.endpoint) == 0
        assert await driver.probe(engine.ready.endpoint, "chat")

    assert driver.resident_bytes(engine.started.pid, wanted) is None
    assert list((tmp_path / "state").rglob("*.json")) == []


async def test_a_base_model_loads(runner, spec, run, gemma: Path) -> None:
    async with run(runner(), spec(gemma, context=512, task="completion")) as engine:
        assert engine.failure is None


async def test_chat_and_vectors_from_one_engine(runner, spec, run, smollm2: Path) -> None:
    driver = runner()
    async with run(driver, spec(smollm2, context=512, embeddings=True)) as engine:
        endpoint = engine.ready.endpoint
        await driver.probe(endpoint, "embedding")
        await driver.probe(endpoint, "chat")


async def test_the_key_is_asked_for_and_shown_nowhere(runner, spec, run, smollm2: Path, tmp_path: Path) -> None:
    async with run(runner(), spec(smollm2, context=512)) as engine:
        endpoint = engine.ready.endpoint
        stranger = type(endpoint)(endpoint.host, endpoint.port, "guessed")
        assert (await ask(stranger, "GET", "/slots")).status == 401
        assert endpoint.api_key.encode() not in _command_line(engine.started.pid)
        assert not any(endpoint.api_key in argument for argument in engine.started.argv)

    key = endpoint.api_key
    log = path_for(tmp_path / "logs", "coder")
    assert log.stat().st_mode & 0o777 == 0o600
    assert log.parent.stat().st_mode & 0o777 == 0o700
    kept = _everything_in(tmp_path)
    assert "listening on" in kept
    assert key not in kept
    assert f"****{key[-4:]}" not in kept


async def test_no_text_of_a_request_reaches_the_log(runner, spec, run, smollm2: Path, tmp_path: Path) -> None:
    """llama.cpp prints grammars and schemas of requests, and quotes requests in its errors."""
    bodies: list[tuple[str, dict[str, object]]] = [
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": MARKER}], "max_tokens": 2}),
        ("/v1/completions", {"prompt": MARKER, "max_tokens": 2}),
        ("/v1/completions", {"prompt": "x", "max_tokens": 2, "grammar": f"root ::= {MARKER} \n foo"}),
        ("/v1/completions", {"prompt": "x", "max_tokens": 2, "json_schema": {"type": MARKER}}),
        (
            "/v1/chat/completions",
            {"messages": [{"role": "user", "content": MARKER}], "response_format": {"type": MARKER}, "max_tokens": 2},
        ),
        ("/v1/chat/completions", {"messages": [{"role": MARKER, "content": [{"type": MARKER}]}]}),
    ]
    async with run(runner(), spec(smollm2, context=512)) as engine:
        for path, body in bodies:
            await ask(engine.ready.endpoint, "POST", path, body)

    assert MARKER not in path_for(tmp_path / "logs", "coder").read_text()
    assert not [each for each in engine.reports if isinstance(each, Complaint) and MARKER in each.text]


@pytest.mark.parametrize("size", [6, 4096, 20_000_000])
async def test_a_truncated_model_names_the_file(runner, spec, run, smollm2: Path, tmp_path: Path, size: int) -> None:
    broken = tmp_path / "broken.gguf"
    with smollm2.open("rb") as whole:
        broken.write_bytes(whole.read(size))
    async with run(runner(), spec(broken, context=512)) as engine:
        assert isinstance(engine.failure, LoadFailed)
        assert str(broken) in engine.failure.message


async def test_a_value_that_only_the_wheel_can_refuse(runner, spec, run, smollm2: Path) -> None:
    async with run(runner(), spec(smollm2, extra_args=("-ot", "x=NOWHERE"))) as engine:
        assert isinstance(engine.failure, FlagUnsupported)
        assert "NOWHERE" in engine.failure.message
        assert (await Builds(Path()).get(None)).version in engine.failure.message


@pytest.mark.parametrize("kind", ["embedded", "binary"])
async def test_the_engine_ends_with_a_gateway_that_is_killed(kind: str, smollm2: Path, tmp_path: Path) -> None:
    """kill -9 of the parent, which cannot clean anything up."""
    engine = ["hostler.engines.processes.embedded"]
    if kind == "binary":
        engine = ["hostler.engines.processes.guard", str(write_build(tmp_path))]
    argv = [sys.executable, "-P", "-m", *engine, "-m", str(smollm2), "-c", "512", "--host", "127.0.0.1", "--port", "0"]
    program = textwrap.dedent(
        f"""
        import anyio, os, socket, sys
        from hostler.engines.processes.group import spawn

        async def main():
            ours, theirs = socket.socketpair()
            reading, writing = os.pipe()
            child = await spawn({argv!r}, {{}}, theirs.fileno(), writing)
            print(child.pid, flush=True)
            with open(reading, "rb") as log:
                for line in log:
                    if b"listening on" in line:
                        break
            print("listening", flush=True)
            await anyio.sleep_forever()

        anyio.run(main)
        """
    )
    parent = await anyio.open_process([sys.executable, "-c", program], stderr=subprocess.DEVNULL)
    assert parent.stdout is not None
    said = b""
    with anyio.fail_after(60):
        while b"listening" not in said:
            said += await parent.stdout.receive()
    child = int(said.split()[0])
    assert process_start_time(child) is not None

    os.kill(parent.pid, signal.SIGKILL)
    await parent.wait()

    with anyio.fail_after(5):
        while process_start_time(child) is not None:
            await anyio.sleep(0.02)
    await parent.aclose()
