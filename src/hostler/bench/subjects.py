"""What is measured: a fake engine on its own, and a real gateway in a home of its own before another one."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import msgspec
import psutil

from hostler.bench.load import Shape, Target, measure
from hostler.testing.builds import write_build
from hostler.testing.gguf_files import write_tiny_gguf

MODEL: Final = "bench"
SLOTS: Final = 128
#: The fake engine answers as long as asked for, and closes no connection by itself.
BUILD: Final = {"tokens": 1_000_000, "idle_ms": 0, "requests_per_connection": 0}
#: Seconds that anything here may take to listen.
WITHIN_S: Final = 60.0
HOSTLER: Final = str(Path(sys.executable).with_name("hostler"))
LISTENING: Final = re.compile(rb"listening on http://[^:]+:(\d+)")

CONFIG: Final = """\
[gateway]
default = "bench"
preload = ["bench"]

[library]
caches = false

[profiles.bench]
model = {model}
task = "chat"
slots = {slots}
context = 4096
pin = true

[profiles.bench.engine]
build = {build}
"""
#: Profiles that are never loaded, so that much is counted apart.
FILLERS: Final = tuple(f"filler-{number}" for number in range(13))
FILLER: Final = """\
[profiles.{name}]
model = {model}
task = "rerank"
engine.build = {build}
"""


class Usage(msgspec.Struct, frozen=True):
    """CPU seconds (user and system) that a process has used, and its resident bytes."""

    cpu_s: float
    resident: int


def usage_of(pid: int) -> Usage:
    process = psutil.Process(pid)
    times = process.cpu_times()
    return Usage(times.user + times.system, process.memory_info().rss)


@contextlib.asynccontextmanager
async def child(argv: list[str], env: dict[str, str], log: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """A process that is ended, and reaped, with this block."""
    with log.open("wb") as out:
        process = await asyncio.create_subprocess_exec(*argv, env=os.environ | env, stdout=out, stderr=out)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), 20)
        if process.returncode is None:
            process.kill()
            await process.wait()


@contextlib.asynccontextmanager
async def direct(folder: Path) -> AsyncIterator[Target]:
    """A fake engine that is asked without a gateway."""
    build = write_build(folder, "direct-server", **BUILD)
    model = write_tiny_gguf(folder / "direct.gguf")
    log, key = folder / "direct.log", secrets.token_hex(8)
    argv = [str(build), "-m", str(model), "--host", "127.0.0.1", "--port", "0", "-np", str(SLOTS)]
    argv += ["-c", str(SLOTS * 4096)]
    async with child(argv, {"LLAMA_API_KEY": key}, log) as process:
        async with asyncio.timeout(20):
            while (found := LISTENING.search(log.read_bytes())) is None:
                if process.returncode is not None:
                    raise RuntimeError(_tail(log))
                await asyncio.sleep(0.02)
        yield Target("127.0.0.1", int(found[1]), key)


class Gateway(msgspec.Struct, frozen=True):
    """A running gateway; ``first_s`` is from the start of `hostler up` to its first answered `/v1` request."""

    target: Target
    pid: int
    accepted_s: float
    log: Path


@contextlib.asynccontextmanager
async def gateway(folder: Path) -> AsyncIterator[Gateway]:
    """`hostler up` with everything on: a key, the ledger, events, the fleet, management."""
    home = folder / "home"
    home.mkdir()
    build = write_build(folder, "gateway-server", **BUILD)
    model = write_tiny_gguf(folder / "bench.gguf")
    where = {"model": _quoted(model), "build": _quoted(build)}
    profiles = [CONFIG.format(**where, slots=SLOTS), *(FILLER.format(**where, name=name) for name in FILLERS)]
    (home / "hostler.toml").write_text("".join(profiles))
    env = {"HOSTLER_HOME": str(home)}
    target = Target("127.0.0.1", free_port(), await _key(env))
    log = folder / "gateway.log"
    argv = [HOSTLER, "up", "--port", str(target.port)]
    began = time.perf_counter()
    async with child(argv, env, log) as process:
        accepted_s = await _accepted(target, began, process, log)
        await _answers(target, process, log)
        await _settled(process.pid)
        yield Gateway(target, process.pid, accepted_s, log)


async def _key(env: dict[str, str]) -> str:
    """A new key of that home."""
    argv = (HOSTLER, "key", "new", "bench", "--scope", "admin")
    process = await asyncio.create_subprocess_exec(
        *argv, env=os.environ | env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    said, _ = await process.communicate()
    return said.decode().strip()


async def _accepted(target: Target, began: float, process: asyncio.subprocess.Process, log: Path) -> float:
    """Seconds until a request to `/v1/models` is answered."""
    while time.perf_counter() - began < 30:
        if process.returncode is not None:
            raise RuntimeError(_tail(log))
        try:
            reader, writer = await asyncio.open_connection(target.host, target.port)
        except OSError:
            await asyncio.sleep(0.005)
            continue
        writer.write(b"GET /v1/models HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %b\r\n\r\n" % target.key.encode())
        line = await reader.readline()
        writer.close()
        if b" 200 " not in line:
            raise RuntimeError(line.decode("latin-1"))
        return time.perf_counter() - began
    raise RuntimeError(f"no answer within 30 s; {_tail(log)}")


async def _answers(target: Target, process: asyncio.subprocess.Process, log: Path) -> None:
    """Wait (through the gateway's own queue) until the engine answers."""
    try:
        async with asyncio.timeout(60):
            await measure(target, Shape(name="first", clients=1, requests=1, tokens=3, stream=False), MODEL)
    except Exception as error:
        raise RuntimeError(f"{error}; {_tail(log)}") from error


async def _settled(pid: int) -> None:
    """Wait until the gateway has nothing left to build behind its first requests (management, ledger)."""
    before = usage_of(pid).cpu_s
    for _ in range(60):
        await asyncio.sleep(0.5)
        now = usage_of(pid).cpu_s
        if now - before < 0.03:
            return
        before = now


async def listening(target: Target) -> None:
    """Wait until somebody listens there. Raises TimeoutError."""
    async with asyncio.timeout(WITHIN_S):
        while True:
            try:
                _, writer = await asyncio.open_connection(target.host, target.port)
            except OSError:
                await asyncio.sleep(0.05)
                continue
            writer.close()
            return


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _tail(log: Path) -> str:
    return log.read_text()[-2000:]


def _quoted(path: Path) -> str:
    return msgspec.json.encode(str(path)).decode()
