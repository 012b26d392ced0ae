"""Start an engine program for a test or a benchmark, wait until it listens, end it by its own pid."""

from __future__ import annotations

import asyncio
import os
import re
import secrets
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

_LISTENING = re.compile(r"listening on http://([\w.:]+):(\d+)")


class NotStarted(Exception):
    """The program ended, or said nothing, before it listened; the text holds its last lines."""


@dataclass
class Running:
    """A program that listens. ``lines`` grows while it runs; ``ended`` is set when it is gone."""

    host: str
    port: int
    key: str
    process: asyncio.subprocess.Process
    lines: list[str] = field(default_factory=list)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        return self.host, self.port


async def _read(process: asyncio.subprocess.Process, lines: list[str], found: asyncio.Future[tuple[str, int]]) -> None:
    assert process.stderr is not None
    async for raw in process.stderr:
        line = raw.decode("utf-8", "replace").rstrip()
        lines.append(line)
        match = _LISTENING.search(line)
        if match and not found.done():
            found.set_result((match[1], int(match[2])))
    if not found.done():
        found.set_exception(NotStarted("\n".join(lines[-10:])))


async def stop(process: asyncio.subprocess.Process, grace_s: float = 5.0) -> int:
    """SIGTERM, then SIGKILL after ``grace_s``; the exit status."""
    if process.returncode is None:
        process.terminate()
        try:
            async with asyncio.timeout(grace_s):
                return await process.wait()
        except TimeoutError:
            process.kill()
    return await process.wait()


@asynccontextmanager
async def running_program(
    argv: Sequence[str], *, environment: Mapping[str, str] | None = None, within_s: float = 30.0, grace_s: float = 5.0
) -> AsyncIterator[Running]:
    """Run ``argv`` until the block is left. A key is given by LLAMA_API_KEY.

    Raises NotStarted when it ends before it listens, TimeoutError when it does not listen in time.
    """
    key = secrets.token_hex(8)
    variables = {**os.environ, "LLAMA_API_KEY": key, **(environment or {})}
    process = await asyncio.create_subprocess_exec(
        *argv, env=variables, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE, limit=2**20
    )
    lines: list[str] = []
    found: asyncio.Future[tuple[str, int]] = asyncio.get_running_loop().create_future()
    reader = asyncio.create_task(_read(process, lines, found))
    try:
        async with asyncio.timeout(within_s):
            host, port = await found
        yield Running(host, port, variables["LLAMA_API_KEY"], process, lines)
    finally:
        await asyncio.shield(stop(process, grace_s))
        await reader
        if not found.done():
            found.cancel()


def switch_flags(switches: Mapping[str, bool | int | float | str]) -> list[str]:
    """``--fake-...`` flags of these switches."""
    return [f"--fake-{name.replace('_', '-')}={value}" for name, value in switches.items()]


@asynccontextmanager
async def running_fake(*flags: str, **switches: bool | int | float | str) -> AsyncIterator[Running]:
    """The fake engine with these llama-server flags and switches, on a port of the kernel's choice."""
    argv = [sys.executable, "-m", "hostler.testing.fake_engine", "--port", "0", *flags, *switch_flags(switches)]
    async with running_program(argv) as running:
        yield running
