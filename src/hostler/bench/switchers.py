"""Three ways to switch a model: a bare engine that is stopped and started, the gateway, and the engine's own router."""

from __future__ import annotations

import contextlib
import secrets
import sys
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Final, Protocol

import msgspec

from hostler.bench.load import Target
from hostler.bench.subjects import child, free_port, listening
from hostler.testing import http
from hostler.testing.launch import Running, running_program, stop

CONTEXT: Final = 4096
WITHIN_S: Final = 60.0

CONFIG: Final = """\
[gateway]
port = {port}
[library]
caches = false
[groups.alternating]
exclusive = true
"""
PROFILE: Final = """\
[profiles.{name}]
model = {model}
task = "completion"
context = {context}
group = "alternating"
engine.build = {build}
"""


class Switcher(Protocol):
    """Goes from one model to another."""

    async def to(self, model: str) -> float:
        """Seconds from now to the first token of ``model``, the other one gone; each call names the other model."""
        ...


async def first_token(target: Target, model: str, began: float) -> float:
    """Seconds since ``began`` when ``model`` has generated one token, after a whole short answer."""
    body = {"model": model, "prompt": "One, two, three,", "max_tokens": 1, "stream": True, "ignore_eos": True}
    first: float | None = None
    address = (target.host, target.port)
    async with http.stream(address, "POST", "/v1/completions", body, http.bearer(target.key)) as exchange:
        if exchange.status != 200:
            raise RuntimeError(f"{model} answered with {exchange.status}: {(await exchange.read()).body[:300]!r}")
        async for event in exchange.events():
            if event.data.startswith('{"error"'):
                raise RuntimeError(f"{model} answered: {event.data[:300]}")
            if first is None and event.data.startswith("{"):
                first = time.perf_counter() - began
    if first is None:
        raise RuntimeError(f"{model} generated no token")
    return first


class Bare:
    """The same commands as the gateway's, ended and started one after the other."""

    def __init__(self, commands: Mapping[str, tuple[str, ...]], env: Mapping[str, str]) -> None:
        self._commands = commands
        self._env = env
        self._stack = contextlib.AsyncExitStack()
        self._running: Running | None = None

    async def to(self, model: str) -> float:
        began = time.perf_counter()
        await self.close()
        program = running_program(self._commands[model], environment=self._env, within_s=WITHIN_S)
        self._running = await self._stack.enter_async_context(program)
        return await first_token(Target(*self._running.address, self._running.key), model, began)

    async def close(self) -> None:
        """End the engine that runs."""
        if self._running is not None:
            await stop(self._running.process)
            self._running = None
        await self._stack.aclose()


class Served:
    """Something that listens at one address for all models: the router."""

    def __init__(self, target: Target) -> None:
        self.target = target

    async def to(self, model: str) -> float:
        return await first_token(self.target, model, time.perf_counter())


class Ours(Served):
    """The gateway; that it switched, and holds one model alone, is checked each time."""

    async def to(self, model: str) -> float:
        seconds = await super().to(model)
        await argv_of(self, model)
        return seconds


@contextlib.asynccontextmanager
async def bare(commands: Mapping[str, tuple[str, ...]]) -> AsyncIterator[Bare]:
    """Starts what :func:`bare_command` made."""
    switcher = Bare(commands, {})
    try:
        yield switcher
    finally:
        await switcher.close()


@contextlib.asynccontextmanager
async def ours(folder: Path, models: Mapping[str, Path], build: str) -> AsyncIterator[Ours]:
    """A gateway that may hold one of the models at a time, so that each request for the other one is a switch."""
    home = folder / f"home-{secrets.token_hex(3)}"
    home.mkdir()
    target = Target("127.0.0.1", free_port())
    profiles = "".join(
        PROFILE.format(name=name, model=_quoted(path), context=CONTEXT, build=_quoted(build))
        for name, path in models.items()
    )
    (home / "hostler.toml").write_text(CONFIG.format(port=target.port) + profiles)
    argv = [str(Path(sys.executable).with_name("hostler")), "up"]
    async with child(argv, {"HOSTLER_HOME": str(home)}, folder / "gateway.log"):
        await listening(target)
        yield Ours(target)


async def argv_of(served: Served, model: str) -> tuple[str, ...]:
    """The command that the gateway runs for ``model``, the only one that is loaded."""
    answer = await http.request((served.target.host, served.target.port), "GET", "/api/instances")
    instances = msgspec.json.decode(answer.body)
    if [each["profile"] for each in instances] != [model]:
        raise RuntimeError(f"{model} is not loaded, or not alone: {answer.body[:300]!r}")
    return tuple(instances[0]["argv"])


def bare_command(argv: tuple[str, ...], server: Path | None, slots: Path) -> tuple[str, ...]:
    """``argv`` as a script would start it: the binary itself, the kernel's choice of a port, a folder that stays."""
    program = (str(server), *argv[argv.index(str(server)) + 1 :]) if server is not None else argv
    made = list(program)
    made[made.index("--port") + 1] = "0" if server is None else str(free_port())
    made[made.index("--slot-save-path") + 1] = str(slots)
    return tuple(made)


@contextlib.asynccontextmanager
async def router(folder: Path, server: Path, commands: Mapping[str, tuple[str, ...]]) -> AsyncIterator[Served]:
    """``llama-server`` without a model, one at a time, each with the flags of ``commands``."""
    preset = folder / "router.ini"
    preset.write_text("".join(f"[{name}]\n{_preset(argv)}\n" for name, argv in commands.items()))
    argv = [str(server), "--host", "127.0.0.1", "--port", str(free_port())]
    argv += ["--models-max", "1", "--models-preset", str(preset)]
    async with running_program(argv, within_s=WITHIN_S) as running:
        yield Served(Target(*running.address, running.key))


def _preset(argv: tuple[str, ...]) -> str:
    """The flags of a command as lines of llama.cpp's presets; where it listens is the router's business."""
    lines: list[str] = []
    given = list(argv[1:])
    while given:
        flag = given.pop(0)
        value = given.pop(0) if given and not given[0].startswith("--") else "true"
        if flag not in ("--host", "--port", "--alias"):
            lines.append(f"{flag.removeprefix('--')} = {value}")
    return "\n".join(lines)


def _quoted(text: Path | str) -> str:
    return msgspec.json.encode(str(text)).decode()
